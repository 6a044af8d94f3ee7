// A real kubelet finds the driver by its registration in process: at once, after kubelet's own restart, and after its socket was removed; and a
// driver that kubelet refuses is told so.
// deadline: 240s
// needs: root kube openssl setpriv unshare containerd ctr runc ldd
import { readdirSync, readFileSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { PfError } from '@pureflash/datapath/base';
import { openNodeWorld, type Logger, type World } from '@pureflash/datapath/world';
import { openSocketFiles } from '../../csi/src/host/socket-files.ts';
import { identityHandlers } from '../../csi/src/identity.ts';
import { Identity } from '../../csi/src/messages/identity-service.ts';
import { Node } from '../../csi/src/messages/node-service.ts';
import { PluginRegistration } from '../../csi/src/registration/plugin-registration.ts';
import { implement, serveGrpc, type Handlers, type RpcPorts } from '../../csi/src/rpc/grpc-server.ts';
import { RpcError } from '../../csi/src/rpc/status.ts';
import { useControlPlane, useNodes } from '../kube/suite.ts';
import { waitFor } from '../local/wait-for.ts';

const PATIENCE_MS = 60_000;
const KUBELET_FOLDER = '/var/lib/kubelet';

interface CsiNode {
  readonly spec: {
    readonly drivers: readonly {
      readonly name: string;
      readonly nodeID: string;
      readonly allocatable?: { readonly count: number };
    }[];
  };
}

const test = suite('kubelet');
const plane = useControlPlane(test);
const nodes = useNodes(test, plane, 1);
const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => quiet, setLevel() {} };
const world: World = await openNodeWorld({ ports: 'libuv', memoryBytes: 4 * 1024 * 1024, log: quiet });
const ports: RpcPorts = { clock: world.clock, log: quiet, sockets: openSocketFiles() };
test.after(() => world.close());

test('the driver is registered, also after a restart of kubelet and after the loss of its socket', async () => {
  const driver = await startDriver('csi.pureflash.io', {
    nodeGetInfo: async () => ({ nodeId: nodes()[0]!.name, maxVolumesPerNode: 8 }),
    nodeGetCapabilities: async () => ({}),
  });
  await using registration = driver.registration;
  await using _server = driver.server;
  await waitFor('kubelet to register the driver', PATIENCE_MS, async () => registration.isRegistered || null);
  assert.equal(await listed('csi.pureflash.io'), { name: 'csi.pureflash.io', nodeID: nodes()[0]!.name, count: 8 });

  const before = driver.asked();
  process.kill(kubeletPid(), 'SIGKILL');
  await waitFor('kubelet to ask again after its restart', PATIENCE_MS, async () => driver.asked() > before || null);
  await waitFor('the driver to be listed', PATIENCE_MS, () => listed('csi.pureflash.io'));

  const afterRestart = driver.asked();
  unlinkSync(registration.socketPath);
  await waitFor('kubelet to ask again after the loss', PATIENCE_MS, async () => driver.asked() > afterRestart || null);
  await waitFor('the driver to be registered again', PATIENCE_MS, async () => registration.isRegistered || null);
  await waitFor('the driver to be listed', PATIENCE_MS, () => listed('csi.pureflash.io'));
  assert.equal(driver.failures, []);
});

test('a driver whose node is unknown is refused, and learns why', async () => {
  const driver = await startDriver('broken.pureflash.io', {
    nodeGetInfo: () => Promise.reject(new RpcError('INTERNAL', 'this node has no name')),
    nodeGetCapabilities: async () => ({}),
  });
  await using _registration = driver.registration;
  await using _server = driver.server;
  await waitFor('kubelet to refuse the driver', PATIENCE_MS, async () => driver.failures.length > 0 || null);
  assert.match(
    driver.failures[0]?.message ?? '',
    /^kubelet refuses the driver broken\.pureflash\.io at .*: .*this node has no name/,
  );
  assert.is(await listed('broken.pureflash.io'), null);
});

async function startDriver(name: string, handlers: Handlers<typeof Node>) {
  let asked = 0;
  const failures: PfError[] = [];
  const counted: Handlers<typeof Node> = {
    ...handlers,
    nodeGetInfo: (request, call) => {
      asked++;
      return handlers.nodeGetInfo!(request, call);
    },
  };
  const endpoint = `${KUBELET_FOLDER}/plugins/${name}/csi.sock`;
  const services = [implement(Identity, identityHandlers({ version: '1', isReady: async () => true })), implement(Node, counted)];
  // The node has a /var/lib of its own: what kubelet finds there lies below the node's folder for us.
  const { folder } = nodes()[0]!;
  const server = await serveGrpc(ports, { socketPath: join(folder, endpoint), services });
  const registration = await PluginRegistration.open(ports, {
    driverName: name,
    endpoint,
    registryFolder: join(folder, KUBELET_FOLDER, 'plugins_registry'),
    onFailure: (error) => void failures.push(error),
  });
  return { server, registration, failures, asked: () => asked };
}

/** What the node's CSINode object says of a driver, or null. */
async function listed(driver: string): Promise<{ name: string; nodeID: string; count: number | null } | null> {
  const csiNode = (await plane().find(`csinode/${nodes()[0]!.name}`)) as CsiNode | null;
  const found = csiNode?.spec.drivers?.find(({ name }) => name === driver);
  return found === undefined ? null : { name: found.name, nodeID: found.nodeID, count: found.allocatable?.count ?? null };
}

function kubeletPid(): number {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const [program = '', ...flags] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      if (program.endsWith('/kubelet') && flags.includes(`--hostname-override=${nodes()[0]!.name}`)) return Number(pid);
    } catch {
      continue; // It has ended meanwhile.
    }
  }
  throw new Error('kubelet does not run');
}

test.run();
