// Every call of the driver on a real cluster and a real kernel, killed after each step that it takes and called again at another driver: the end is
// the same, data stays, and no volume, device, mount or folder is left. The same on a simulated machine: csi/src/node/crash.test.ts.
// needs: root native mkfs.xfs xfs_growfs /dev/fuse
// deadline: 900s
// long
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openNodeWorld } from '@pureflash/datapath/world';
import { capabilityOf, Walker, type Claim } from '../../csi/src/walker.ts';
import { Daemon } from '../local/daemon.ts';
import { ownSubnet } from '../local/local-cluster.ts';
import { sayWhy } from '../local/say-why.ts';
import { waitFor } from '../local/wait-for.ts';
import { holdersBelow, loopsBelow, mountsBelow, removeWithDevices } from './clean-up.ts';
import { canConnect, CsiCluster } from './csi-cluster.ts';

const MiB = 1024 ** 2;
const SIZE = 320 * MiB;
const GROWN = 384 * MiB;
const MOST_STEPS = 100;
const DEATH_MS = 5_000;

const folder = mkdtempSync('/tmp/pf-steps-');
const cluster = new CsiCluster({ folder, subnet: ownSubnet() });
const world = await openNodeWorld({ ports: 'libuv', memoryBytes: 4 * MiB });
const { node } = cluster;
const walker = node.walker(world);
const dyingSocket = join(folder, 'dying.sock');
const stagingTargetPath = join(node.kubeletFolder, 'staging');
const targetPath = join(node.kubeletFolder, 'target');

test.before(sayWhy(() => cluster.start()));
test.after(async () => {
  walker[Symbol.dispose]();
  await cluster.stop();
  removeWithDevices(folder);
  await world.close();
});

interface Stop {
  readonly rpc: string;
  readonly call: (driver: Walker) => Promise<unknown>;
}

/** A volume's life, call by call. */
function lifeOf(claim: Claim): readonly Stop[] {
  const { name: volumeId } = claim;
  const volumeCapability = capabilityOf(claim);
  let publishContext: Readonly<Record<string, string>> = {};
  const placed = { volumeId, stagingTargetPath, volumeCapability };
  const grown = { volumeId, capacityRange: { requiredBytes: GROWN } };
  return [
    { rpc: 'CreateVolume', call: (driver) => driver.create(claim) },
    {
      rpc: 'ControllerPublishVolume',
      call: async ({ controller }) => {
        ({ publishContext } = await controller.controllerPublishVolume({ volumeId, nodeId: node.id, volumeCapability }));
      },
    },
    { rpc: 'NodeStageVolume', call: (driver) => driver.node.nodeStageVolume({ ...placed, publishContext }) },
    { rpc: 'NodePublishVolume', call: (driver) => driver.node.nodePublishVolume({ ...placed, publishContext, targetPath }) },
    { rpc: 'ControllerExpandVolume', call: ({ controller }) => controller.controllerExpandVolume(grown) },
    {
      rpc: 'NodeExpandVolume',
      call: (driver) => driver.node.nodeExpandVolume({ ...grown, stagingTargetPath, volumePath: targetPath, volumeCapability }),
    },
    { rpc: 'NodeUnpublishVolume', call: (driver) => driver.node.nodeUnpublishVolume({ volumeId, targetPath }) },
    { rpc: 'NodeUnstageVolume', call: (driver) => driver.node.nodeUnstageVolume({ volumeId, stagingTargetPath }) },
    {
      rpc: 'ControllerUnpublishVolume',
      call: ({ controller }) => controller.controllerUnpublishVolume({ volumeId, nodeId: node.id }),
    },
    { rpc: 'DeleteVolume', call: ({ controller }) => controller.deleteVolume({ volumeId }) },
  ];
}

/** False when the driver has answered before it came to that step. */
async function isKilled(stop: Stop, dieAfter: number): Promise<boolean> {
  rmSync(dyingSocket, { force: true });
  const words = ['--mode', 'all', '--socket', dyingSocket, '--node', node.id, '--conductor', cluster.cluster.conductorAddress];
  const places = ['--pfnbd', node.pfnbdSocket, '--state', join(folder, 'node-1/csi'), '--kubelet', node.kubeletFolder];
  const program = resolve(import.meta.dirname, 'dying-driver.ts');
  const command = ['env', `PF_DIE_AFTER=${dieAfter}`, process.execPath, program, ...words, ...places];
  const driver = new Daemon('dying', folder, command);
  driver.start();
  await waitFor('the dying driver to serve', 10_000, async () => ((await canConnect(dyingSocket)) ? true : null), 10);
  const { clock, files } = world;
  const { id: nodeId, kubeletFolder } = node;
  using dying = new Walker({ clock, files, socketPath: dyingSocket, nodeId, kubeletFolder });
  try {
    await stop.call(dying);
  } catch (error) {
    const how = await Promise.race([driver.exited, world.clock.sleep(DEATH_MS).then(() => 'it lives')]);
    if (how !== 'SIGKILL') throw error;
    return true;
  }
  await driver.stop();
  return false;
}

const marker = join(targetPath, 'precious');

async function live(claim: Claim, stop: Stop, dieAfter: number): Promise<boolean> {
  let isOver = false;
  for (const each of lifeOf(claim)) {
    // What it is published with is learnt by the call itself.
    if (each.rpc === stop.rpc) isOver = !(await isKilled(each, dieAfter));
    if (each.rpc !== stop.rpc || !isOver) await each.call(walker);
    if (claim.fsType === null) continue;
    if (each.rpc === 'NodePublishVolume') writeFileSync(marker, claim.name, { flush: true });
    if (each.rpc.endsWith('ExpandVolume')) assert.is(readFileSync(marker, 'utf8'), claim.name);
  }
  assert.equal([mountsBelow(folder), loopsBelow(folder), holdersBelow(folder)], [[], [], []], `${stop.rpc}, step ${dieAfter}`);
  assert.equal(readdirSync(node.kubeletFolder).sort(), ['staging'], `${stop.rpc}, step ${dieAfter}: kubelet's own folder alone`);
  assert.equal(await cluster.cluster.pfcli('list_volume'), [], `${stop.rpc}, step ${dieAfter}`);
  assert.equal(await node.attacher(world).list(), []);
  return isOver;
}

for (const fsType of ['xfs', null] as const) {
  const kind = fsType ?? 'raw block';
  for (const stop of lifeOf({ name: 'plan', sizeBytes: SIZE, fsType })) {
    test(`${kind}: ${stop.rpc}, killed after each of its steps`, async () => {
      await world.files.makeFolder(stagingTargetPath);
      let steps = 0;
      while (steps < MOST_STEPS) {
        const claim = { name: `v-${stop.rpc.toLowerCase()}-${steps}`, sizeBytes: SIZE, fsType };
        if (await live(claim, stop, steps + 1)) break;
        steps += 1;
      }
      assert.ok(steps > 0 && steps < MOST_STEPS, `${steps} steps`);
      console.log(`      ${kind}: ${stop.rpc}: ${steps} steps`);
    });
  }
}

test.run();
