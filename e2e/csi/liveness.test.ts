// The question that kubelet asks of the driver's container, as it stands in its pod: a driver that answers is alive, one that hangs is not,
// although the kernel takes connections for it.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openNodeWorld } from '@pureflash/datapath/world';
import { identityHandlers } from '../../csi/src/identity.ts';
import { openSocketFiles } from '../../csi/src/host/socket-files.ts';
import { Identity } from '../../csi/src/messages/identity-service.ts';
import { implement, serveGrpc } from '../../csi/src/rpc/grpc-server.ts';
import { grpcLiveness } from '../../operator/src/manifests/csi-pods.ts';

const folder = mkdtempSync(join(tmpdir(), 'pf-liveness-'));
const socketPath = join(folder, 'csi.sock');
const ANSWER_MS = 1_500;

test.after(() => rmSync(folder, { recursive: true }));

/** "alive", "dead", or "silent": no answer in time, which is what kubelet calls a failure, too. */
function ask(): Promise<string> {
  const [, ...args] = grpcLiveness(socketPath).exec.command;
  return new Promise((resolve) => {
    const probe = spawn(process.execPath, args, { stdio: 'ignore' });
    const timer = setTimeout(() => probe.kill('SIGKILL'), ANSWER_MS);
    probe.once('exit', (code) => {
      clearTimeout(timer);
      resolve(code === null ? 'silent' : code === 0 ? 'alive' : 'dead');
    });
  });
}

test('a driver that serves is alive', async () => {
  const world = await openNodeWorld({ ports: 'libuv', memoryBytes: 4 * 1024 * 1024 });
  const services = [implement(Identity, identityHandlers({ version: '1', isReady: async () => false }))];
  const server = await serveGrpc({ clock: world.clock, log: world.log, sockets: openSocketFiles() }, { socketPath, services });
  assert.is(await ask(), 'alive', 'also while it is not ready');
  await server.stop();
  await world.close();
  assert.is(await ask(), 'dead', 'nobody listens any more');
});

test('one that takes connections and never answers is not', async () => {
  const server = await new Promise<Server>((resolve) => {
    const mute = createServer((socket) => socket.resume());
    mute.listen(socketPath, () => resolve(mute));
  });
  assert.is(await ask(), 'silent');
  await new Promise((resolve) => server.close(resolve));
});

test.run();
