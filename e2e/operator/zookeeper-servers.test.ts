// deadline: 180s
// needs: root setpriv bash java /usr/share/zookeeper/bin/zkServer.sh
// The files that managed ZooKeeper servers are started with, given to Debian's ZooKeeper: three become a quorum, and the probes tell who
// serves from who only lives.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { outputOf } from '../interop/tool.ts';
import { waitFor } from '../local/wait-for.ts';
import { serverFiles, ServerProcess } from './server-process.ts';

const PATIENCE_MS = 60_000;
const folder = mkdtempSync(join(tmpdir(), 'pf-zk-'));
chmodSync(folder, 0o755);
const SUBNET = `127.${64 + (process.pid % 128)}.${(process.pid >> 7) % 256}`;
const addressOf = (ordinal: number): string => `${SUBNET}.${ordinal + 1}`;
const ORDINALS = [0, 1, 2];
const servers = ORDINALS.map(serverOf);

function serverOf(ordinal: number): ServerProcess {
  const place = join(folder, `server-${ordinal}`);
  return new ServerProcess(serverFiles('external', 'demo-zookeeper'), {
    folder: place,
    podName: `demo-zookeeper-${ordinal}`,
    address: addressOf(ordinal),
    instead: [
      ...ORDINALS.map((each) => [`demo-zookeeper-${each}.demo-zookeeper-peers.storage.svc`, addressOf(each)] as const),
      ['/etc/pureflash-zookeeper', join(place, 'config')],
      ['/data', join(place, 'store')],
      // Pods have an address each, processes share a machine.
      ['quorumListenOnAllIPs=true', 'quorumListenOnAllIPs=false'],
    ],
  });
}

test.after(async () => {
  await Promise.all(servers.map((server) => server.end('SIGKILL')));
  rmSync(folder, { recursive: true, force: true });
});

/** What a server answers to four letters. */
function ask(server: ServerProcess, letters: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: server.address, port: 2181 });
    let said = '';
    socket.on('data', (piece: Buffer) => (said += piece.toString()));
    socket.once('error', reject);
    socket.once('close', () => resolve(said));
    socket.write(letters);
  });
}

const until = (what: string, isSo: () => boolean): Promise<true> =>
  waitFor(what, PATIENCE_MS, () => Promise.resolve(isSo() || null)) as Promise<true>;

test('one of three lives, and is not ready', async () => {
  servers[0]!.start();
  await until('the first to live', () => servers[0]!.is('alive'));
  assert.not(servers[0]!.is('ready'));
});

test('three are ready, and one of them leads', async () => {
  servers[1]!.start();
  servers[2]!.start();
  await until('three to be ready', () => servers.every((server) => server.is('ready')));
  const modes = await Promise.all(servers.map(async (server) => /^Mode: (.*)$/m.exec(await ask(server, 'srvr'))?.[1]));
  assert.equal(modes.sort(), ['follower', 'follower', 'leader']);
  assert.equal(
    servers.map((_, ordinal) => readFileSync(join(folder, `server-${ordinal}/store/myid`), 'utf8').trim()),
    ['1', '2', '3'],
  );
});

test('what is written at one is read at another; other letters are refused', async () => {
  const cli = '/usr/share/zookeeper/bin/zkCli.sh';
  await outputOf(cli, '-server', `${addressOf(0)}:2181`, 'create', '/pureflash', 'written');
  assert.match(await outputOf(cli, '-server', `${addressOf(2)}:2181`, 'get', '/pureflash'), /^written$/m);
  assert.match(await ask(servers[0]!, 'stat'), 'stat is not executed because it is not in the whitelist');
});

test('without a majority the last one lives and is not ready; with one it is again', async () => {
  await Promise.all([servers[1]!.end('SIGKILL'), servers[2]!.end('SIGKILL')]);
  await until('it to notice', () => !servers[0]!.is('ready'));
  await until('it to live on', () => servers[0]!.is('alive'));
  servers[1]!.start();
  await until('two to be ready', () => servers[0]!.is('ready') && servers[1]!.is('ready'));
  assert.not(servers[2]!.is('alive'));
});

test('it ends when it is told to', async () => {
  const startedAt = performance.now();
  await servers[1]!.end('SIGTERM');
  assert.ok(performance.now() - startedAt < 10_000);
});

test.run();
