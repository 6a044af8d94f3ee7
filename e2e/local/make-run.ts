// `make run`: the quickstart StorageCluster on this machine, under the same operator as on Kubernetes; a claim that is walked through the CSI
// driver to a mounted filesystem; a three-replica volume, real load through NBD, the death of a store in the middle, and what became of
// the data; then a status page until Ctrl-C. ONCE=1 exits with the story's outcome. A second run goes on with the data of the first.
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openNodeWorld } from '@pureflash/datapath/world';
import type { Claim } from '../../csi/src/walker.ts';
import { removeWithDevices } from '../csi/clean-up.ts';
import { CsiNode } from '../csi/csi-cluster.ts';
import { outputOf } from '../interop/tool.ts';
import { runFio, type FioResult } from './fio.ts';
import { LocalUp } from './local-up.ts';
import { Story } from './story.ts';
import { waitFor } from './wait-for.ts';

const FILE = 'e2e/examples/quickstart.yaml';
const FOLDER = 'build/run';
const VOLUME = 'demo';
const SPAN = '128m';
const LOAD_SECONDS = 15;

const isOnce = (process.env['ONCE'] ?? '') !== '';
const story = new Story();
const cluster = new LocalUp({ file: FILE, folder: FOLDER });
const uri = `nbd+unix:///?socket=${cluster.socketOf(VOLUME)}`;
const interrupted = new Promise<void>((resolve) => {
  process.once('SIGINT', () => resolve());
  process.once('SIGTERM', () => resolve());
});

try {
  const outcome = await Promise.race([play().then(() => true), interrupted.then(() => false)]);
  story.table();
  if (outcome && !isOnce) {
    story.say(`status page   http://${cluster.conductorAddress}/`);
    story.say(`try           npx pfcli list_volume`);
    story.say(`              npx pureflash status --data ${FOLDER}`);
    story.say(`              nbdinfo "${uri}"`);
    story.say('Ctrl-C ends the cluster; its data stays in build/run until `make clean-run`.');
    await interrupted;
  }
  if (!outcome) story.say('interrupted');
} catch (error) {
  story.table();
  story.fail(error);
} finally {
  await story.step('stop the cluster', () => cluster.stop());
}
process.exitCode = story.hasFailed ? 1 : 0;

async function play(): Promise<void> {
  const isFirst = !existsSync(join(FOLDER, 'cluster.json'));
  await story.step(`pureflash up -f ${FILE}`, async () => {
    await cluster.start([VOLUME]);
    const { instances } = await cluster.status();
    const stores = instances.filter((each) => each.name.startsWith('store/')).length;
    return `1 conductor, ${stores} stores, ${isFirst ? 'new file-backed disks, thin' : 'the disks of the run before'}`;
  });
  await story.step(`volume "${VOLUME}", 1 GiB, 3 replicas`, async () => {
    const volumes = (await cluster.pfcli('list_volume')) as readonly { name: string }[];
    if (volumes.some((volume) => volume.name === VOLUME)) return 'found';
    await cluster.pfcli('create_volume', '-v', VOLUME, '-s', '1G', '--rep', '3');
    return 'created';
  });
  await walkClaim();
  await story.step('serve it over NBD', async () => {
    await waitFor('the export', 30_000, () => outputOf('nbdinfo', '--size', uri));
    return cluster.socketOf(VOLUME);
  });
  if (!isFirst) await story.step('read back what the run before wrote', () => verified('read'));
  await story.step(`fill ${SPAN}iB with checked data`, () => verified('write'));
  await loadAndKill();
  await story.step('read everything back', () => verified('read'));
  await story.step('all replicas in sync again', async () => {
    await cluster.waitForSync(VOLUME);
    return 'the killed store has caught up';
  });
  await story.step('compare the replicas byte by byte', async () => {
    await cluster.pfcli('compare_replicas', '-v', VOLUME);
    return 'identical';
  });
}

/** A claim all the way to a mounted filesystem, and back. Devices and mounts want root; the rest of the story does without. */
async function walkClaim(): Promise<void> {
  const lack =
    process.getuid?.() !== 0 ? 'root' : existsSync('/dev/fuse') || existsSync('/sys/module/nbd') ? null : 'nbd or /dev/fuse';
  if (lack !== null) return story.say(`      (no claim is walked through the CSI driver: mounting wants ${lack})`);
  const folder = mkdtempSync('/tmp/pf-run-');
  const node = new CsiNode(cluster, 'this-machine', { mode: 'all', folder });
  const world = await openNodeWorld({ ports: 'libuv', memoryBytes: 4 * 1024 * 1024 });
  const walker = node.walker(world);
  try {
    await story.step('a claim through the CSI driver: create, attach, format, mount', async () => {
      await node.start();
      const claim: Claim = { name: `claim-${process.pid}`, sizeBytes: 256 * 1024 * 1024, fsType: 'ext4' };
      const walked = await walker.use(claim, await walker.create(claim));
      const file = join(walked.targetPath, 'words');
      writeFileSync(file, 'written in a mounted volume');
      const [device] = await node.attacher(world).list();
      await walker.release(walked);
      const again = await walker.use(claim, walked.volumeId);
      const words = readFileSync(file, 'utf8');
      await walker.release(again);
      await walker.delete(walked.volumeId);
      if (words !== 'written in a mounted volume') throw new Error(`the mounted volume says ${JSON.stringify(words)}`);
      return `${device!.device} by ${device!.mapper}, ext4; read back after a second mount; deleted`;
    });
  } finally {
    walker[Symbol.dispose]();
    await node.stop();
    await world.close();
    removeWithDevices(folder);
  }
}

async function verified(pattern: 'read' | 'write'): Promise<string> {
  const result = await runFio({ uri, pattern, blockSize: '4k', size: SPAN, isVerified: true });
  demand(result);
  return `${result.ios} requests, 0 errors`;
}

async function loadAndKill(): Promise<void> {
  await story.step(`${LOAD_SECONDS} s of 4 KiB random writes, depth 32, checked`, async () => {
    const load = runFio({ uri, pattern: 'randwrite', size: SPAN, seconds: LOAD_SECONDS, isVerified: true });
    await sleep((LOAD_SECONDS / 3) * 1000);
    const name = await cluster.primaryOf(VOLUME);
    const before = (await cluster.status()).instances.find((each) => each.name === name)!;
    process.kill(before.pid!, 'SIGKILL');
    story.say(`      kill -9 ${name}, the volume's primary`);
    await cluster.waitForStatus(`${name} to be started again`, ({ instances }) => {
      const seen = instances.find((each) => each.name === name);
      return seen?.isOnline === true && seen.pid !== before.pid;
    });
    story.say(`      ${name} was started again by its supervisor`);
    const result = await load;
    demand(result);
    return `${Math.round(result.iops)} IOPS, 0 errors, longest stall ${(result.longestMs / 1000).toFixed(2)} s`;
  });
}

function demand(result: FioResult): void {
  if (result.exitCode !== 0 || result.errors !== 0) {
    throw new Error(`fio reports errors (exit code ${result.exitCode}):\n${result.output.slice(0, 2000)}`);
  }
}
