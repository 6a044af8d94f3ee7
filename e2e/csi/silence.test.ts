// Nobody says anything: a node that neither reads nor writes learns that its volumes were taken away, and a pfnbd whose cluster is silent ends
// when it is told to, with requests out, and loses none.
// needs: root native fio mkfs.xfs /dev/fuse
// deadline: 300s
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { AttachedVolume } from '@pureflash/datapath/attach';
import type { Claim, WalkedVolume, Walker } from '../../csi/src/walker.ts';
import { runFio } from '../local/fio.ts';
import { waitFor } from '../local/wait-for.ts';
import type { CsiNode } from './csi-cluster.ts';
import { useTwoNodes, type NodeInUse } from './two-nodes.ts';

const MiB = 1024 ** 2;
const NOTICED_MS_MAX = 10_000;
/** What pfnbd gives itself, and what a process takes to go. */
const ENDED_MS_MAX = 3_800;
const RAW: Claim = { name: 'idle', sizeBytes: 512 * MiB, fsType: null };
const MOUNTED: Claim = { name: 'busy', sizeBytes: 512 * MiB, fsType: 'xfs' };

const { cluster, world, both, nothingIsLeft } = await useTwoNodes(test, 'quiet');

test('an idle writer and an idle reader learn that their volume was taken away: a condition that says so, and errors', async () => {
  const [{ walker: first }, { walker: other }] = both();
  const volumeId = await first.create(RAW);
  const written = await first.use(RAW, volumeId);
  const fd = openSync(written.targetPath, 'rs+');
  writeSync(fd, Buffer.alloc(4096, 'x'), 0, 4096, 0);
  closeSync(fd);
  const read = await other.use(RAW, volumeId, { isReadOnly: true });
  const places: readonly (NodeInUse & { walked: WalkedVolume })[] = [
    { ...both()[0], walked: written },
    { ...both()[1], walked: read },
  ];
  for (const { node, walker, walked } of places) {
    assert.is(directRead(walked.targetPath), 'read');
    assert.is((await conditionOf(walker, walked)).abnormal, false);
    const takenAt = performance.now();
    await first.controller.controllerUnpublishVolume({ volumeId, nodeId: node.id });
    await untilState(node, volumeId, 'OVER');
    const tookMs = performance.now() - takenAt;
    assert.ok(tookMs < NOTICED_MS_MAX, `${node.id} noticed after ${Math.round(tookMs)} ms`);
    const { abnormal, message } = await conditionOf(walker, walked);
    assert.is(abnormal, true);
    assert.match(
      message,
      /attachment to this node has ended, so every request fails: .*attachment \d+ of volume "idle" to this node is over/,
    );
    assert.match(directRead(walked.targetPath), /Input\/output error/);
    process.stdout.write(`${node.id}: over after ${Math.round(tookMs)} ms without a request\n`);
  }
  for (const { walker, walked } of places) await walker.release(walked);
  await first.delete(volumeId);
  nothingIsLeft();
});

test('pfnbd ends within its time while conductor and stores are silent, and the next one loses no request', async () => {
  const [{ node, walker }] = both();
  const { conductor, stores } = cluster.cluster;
  const walked = await walker.use(MOUNTED, await walker.create(MOUNTED));
  const load = runFio({ file: join(walked.targetPath, 'load'), pattern: 'randwrite', size: '64m', depth: 16, seconds: 15 });
  const { device } = (await listedBy(node, MOUNTED.name))!;
  await waitFor('the load to write', 20_000, async () => (writesOut(device) >= 8 ? true : null));
  for (const daemon of [conductor, ...stores]) daemon.signal('SIGSTOP');
  await waitFor('requests that nobody answers', 20_000, async () => (writesOut(device) >= 8 ? true : null));
  const withRequests = await endOf(node);
  for (const store of stores) store.signal('SIGCONT');
  node.pfnbd.start();
  await node.untilServing(node.pfnbd);
  await untilState(node, MOUNTED.name, 'STARTING');
  const whileStarting = await endOf(node);
  conductor.signal('SIGCONT');
  await node.start();
  await untilState(node, MOUNTED.name, 'SERVING');
  const result = await load;
  assert.is(result.exitCode, 0, result.output.slice(0, 500));
  process.stdout.write(
    `ended after ${withRequests} ms with requests out, after ${whileStarting} ms while it waited for the conductor\n`,
  );
  assert.ok(withRequests < ENDED_MS_MAX && whileStarting < ENDED_MS_MAX, `${withRequests} and ${whileStarting} ms`);
  await walker.release(walked);
  await walker.delete(MOUNTED.name);
  nothingIsLeft();
});

/** Milliseconds from SIGTERM to the end. */
async function endOf({ pfnbd }: CsiNode): Promise<number> {
  const toldAt = performance.now();
  assert.is(await pfnbd.stop(), 'exit 0');
  return Math.round(performance.now() - toldAt);
}

async function untilState(node: CsiNode, volumeId: string, state: string): Promise<void> {
  await waitFor(`volume ${volumeId} to be ${state} on ${node.id}`, 20_000, async () =>
    (await listedBy(node, volumeId))?.state === state ? true : null,
  );
}

async function listedBy(node: CsiNode, volumeId: string): Promise<AttachedVolume | undefined> {
  return (await node.attacher(world).list()).find((each) => each.volume_name === volumeId);
}

async function conditionOf(
  { node }: Walker,
  { volumeId, targetPath }: WalkedVolume,
): Promise<{ abnormal: boolean; message: string }> {
  return (await node.nodeGetVolumeStats({ volumeId, volumePath: targetPath })).volumeCondition!;
}

/** Past the page cache: "read", or what dd says. */
function directRead(path: string): string {
  try {
    execFileSync('dd', [`if=${path}`, 'of=/dev/null', 'bs=4096', 'count=1', 'iflag=direct'], { stdio: 'pipe', timeout: 20_000 });
    return 'read';
  } catch (error) {
    return String((error as { stderr?: Buffer }).stderr);
  }
}

/** Of the kernel device, just now. */
function writesOut(devicePath: string): number {
  const [, writes] = readFileSync(`/sys/block/${basename(devicePath)}/inflight`, 'utf8')
    .trim()
    .split(/ +/);
  return Number(writes);
}

test.run();
