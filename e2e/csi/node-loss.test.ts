// A node that falls silent in the middle of writing, and comes back: its volume is taken away, another node writes it, and nothing that the
// first one still had on the way is ever written. What Kubernetes does once the node's out-of-service taint is set is played by a walker.
// needs: root native fio /dev/fuse
// deadline: 300s
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, writeSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { capabilityOf, type Claim, type Walker } from '../../csi/src/walker.ts';
import { runFio, type FioResult } from '../local/fio.ts';
import { waitFor } from '../local/wait-for.ts';
import { useTwoNodes } from './two-nodes.ts';

const MiB = 1024 ** 2;
const SPAN_BYTES = 64 * MiB;
const TAKEOVER_MS_MAX = 60_000;
const CLAIM: Claim = { name: 'moving', sizeBytes: 512 * MiB, fsType: null };
const NEW_CONTENT = Buffer.alloc(MiB, 'written by the second node. ');

const { cluster, world, both, nothingIsLeft } = await useTwoNodes(test, 'loss');

test('a silent node loses its volume, and writes nothing when it is back', async () => {
  const [{ walker: first }, { walker: other }] = both();
  const volumeId = await first.create(CLAIM);
  const walked = await first.use(CLAIM, volumeId);
  const load = runFio({ file: walked.targetPath, pattern: 'randwrite', size: '64m', depth: 16, seconds: 60 });
  await untilWritten(volumeId);

  const silentAt = performance.now();
  cluster.node.pfnbd.signal('SIGSTOP');
  const volumeCapability = capabilityOf(CLAIM);
  await assertRefused(other, volumeId);
  await other.controller.controllerUnpublishVolume({ volumeId, nodeId: cluster.node.id });
  const taken = await other.use(CLAIM, volumeId);
  const fd = openSync(taken.targetPath, 'rs+');
  for (let at = 0; at < SPAN_BYTES; at += NEW_CONTENT.length) writeSync(fd, NEW_CONTENT, 0, NEW_CONTENT.length, at);
  closeSync(fd);
  const tookMs = performance.now() - silentAt;
  const before = digestOf(taken.targetPath);

  cluster.node.pfnbd.signal('SIGCONT');
  const result: FioResult = await load;
  assert.ok(result.exitCode !== 0, `the old writer is told: ${result.output.slice(0, 500)}`);
  assert.match(result.output, /Input\/output error|error=/);
  assert.is(digestOf(taken.targetPath), before, 'not one old write was accepted');
  const [held] = await cluster.node.attacher(world).list();
  assert.is(held!.state, 'OVER');
  process.stdout.write(
    `from silence to ${SPAN_BYTES / MiB} MiB written on another node: ${Math.round(tookMs)} ms; 0 old writes accepted\n`,
  );
  assert.ok(tookMs < TAKEOVER_MS_MAX, `${tookMs} ms`);

  const stale = first.controller.controllerPublishVolume({ volumeId, nodeId: cluster.node.id, volumeCapability });
  assert.match(String(await stale.catch((error: unknown) => error)), /"node-2" has it for writing; detach it there first/);
  await first.node.nodeUnpublishVolume({ volumeId, targetPath: walked.targetPath });
  await first.node.nodeUnstageVolume({ volumeId, stagingTargetPath: walked.stagePath });
  assert.is(digestOf(taken.targetPath), before, 'the old node cleans up without touching what is not its own');
  await other.release(taken);
  const back = await first.use(CLAIM, volumeId);
  assert.is(digestOf(back.targetPath), before, 'and may have the volume again');
  await first.release(back);
  await first.delete(volumeId);
  nothingIsLeft();
});

/** While the silent node has the volume nobody else gets it. */
async function assertRefused(walker: Walker, volumeId: string): Promise<void> {
  const attempt = walker.controller.controllerPublishVolume({
    volumeId,
    nodeId: 'node-2',
    volumeCapability: capabilityOf(CLAIM),
  });
  assert.match(String(await attempt.catch((error: unknown) => error)), /"node-1" has it for writing; detach it there first/);
}

/** The load is under way: disks hold some of it. */
async function untilWritten(volumeId: string): Promise<void> {
  await waitFor('the load to write', 20_000, async () => {
    const [row] = (await cluster.cluster.pfcli('list_disk')) as readonly { free: number; raw_capacity: number }[];
    return row!.raw_capacity - row!.free > 32 * MiB ? volumeId : null;
  });
}

/** Past the page cache: what the stores hold. */
function digestOf(devicePath: string): string {
  const read = `dd if=${devicePath} bs=1M count=${SPAN_BYTES / MiB} iflag=direct status=none | sha256sum`;
  return execFileSync('sh', ['-c', read], { timeout: 60_000 }).toString();
}

test.run();
