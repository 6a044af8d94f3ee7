// The driver on a real cluster, by calls of our own: what csi-sanity asks and more, without Go. Lives, repeats, refusals, pages, and a hundred
// hostile requests.
// needs: root native mkfs.ext4 mkfs.xfs /dev/fuse
// deadline: 300s
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openNodeWorld } from '@pureflash/datapath/world';
import type { RpcError } from '../../csi/src/rpc/status.ts';
import { capabilityOf, type Claim } from '../../csi/src/walker.ts';
import { ownSubnet } from '../local/local-cluster.ts';
import { sayWhy } from '../local/say-why.ts';
import { holdersBelow, loopsBelow, mountsBelow, removeWithDevices } from './clean-up.ts';
import { CsiCluster } from './csi-cluster.ts';
import { hostileRequests } from './hostile-requests.ts';

const MiB = 1024 ** 2;

const folder = mkdtempSync('/tmp/pf-driver-');
const cluster = new CsiCluster({ folder, subnet: ownSubnet() });
const world = await openNodeWorld({ ports: 'libuv', memoryBytes: 4 * MiB });
const { id: nodeId, kubeletFolder } = cluster.node;
const walker = cluster.node.walker(world);
const { controller, node } = walker;

test.before(sayWhy(() => cluster.start()));
test.after(async () => {
  walker[Symbol.dispose]();
  await cluster.stop();
  removeWithDevices(folder);
  await world.close();
});

/** "STATUS: message". */
async function refusal(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return `${(error as RpcError).status}: ${(error as RpcError).message}`;
  }
  return 'OK';
}

function nothingIsLeft(): void {
  assert.equal([mountsBelow(folder), loopsBelow(folder), holdersBelow(folder)], [[], [], []]);
}

const claimOf = (name: string, fsType: Claim['fsType'] = 'xfs'): Claim => ({ name, sizeBytes: 512 * MiB, fsType });

for (const fsType of ['ext4', 'xfs'] as const) {
  test(`${fsType}: what one pod writes the next one reads, every call made twice`, async () => {
    const claim = claimOf(`life-${fsType}`, fsType);
    assert.is(await walker.create(claim), claim.name);
    assert.is(await walker.create(claim), claim.name);
    const first = await walker.use(claim, claim.name);
    assert.equal(await walker.use(claim, claim.name), first);
    writeFileSync(join(first.targetPath, 'words'), 'they are still there');
    await walker.release(first);
    await walker.release(first);
    nothingIsLeft();
    const second = await walker.use(claim, claim.name);
    assert.is(readFileSync(join(second.targetPath, 'words'), 'utf8'), 'they are still there');
    await walker.release(second);
    await walker.delete(claim.name);
    await walker.delete(claim.name);
    nothingIsLeft();
  });
}

test('a raw block volume is a device at its path, and grows while it is used', async () => {
  const claim = claimOf('raw', null);
  const walked = await walker.use(claim, await walker.create(claim));
  assert.ok(statSync(walked.targetPath).isBlockDevice());
  const block = Buffer.alloc(4096, 'block');
  const fd = openSync(walked.targetPath, 'rs+');
  writeSync(fd, block, 0, block.length, 256 * MiB);
  const read = Buffer.alloc(4096);
  readSync(fd, read, 0, read.length, 256 * MiB);
  closeSync(fd);
  assert.ok(read.equals(block));
  assert.is(await walker.expand(walked, 1024 * MiB), 1024 * MiB);
  assert.is(execFileSync('blockdev', ['--getsize64', walked.targetPath]).toString().trim(), String(1024 * MiB));
  await walker.release(walked);
  await walker.delete('raw');
  nothingIsLeft();
});

test('what was written raw is not formatted over, wherever it lies, until it is trimmed', async () => {
  const raw = claimOf('kept', null);
  const mounted: Claim = { ...raw, fsType: 'xfs' };
  const volumeId = await walker.create(raw);
  const block = Buffer.alloc(4096, 'kept');
  const first = await walker.use(raw, volumeId);
  let fd = openSync(first.targetPath, 'rs+');
  writeSync(fd, block, 0, block.length, 300 * MiB);
  closeSync(fd);
  await walker.release(first);
  assert.match(
    await refusal(walker.use(mounted, volumeId)),
    /^FAILED_PRECONDITION: cannot format volume "kept": it begins with zeros, but blocks of it were written.*blkdiscard/,
  );
  const again = await walker.use(raw, volumeId);
  const read = Buffer.alloc(4096);
  fd = openSync(again.targetPath, 'rs');
  readSync(fd, read, 0, read.length, 300 * MiB);
  closeSync(fd);
  assert.ok(read.equals(block));
  execFileSync('blkdiscard', [again.targetPath], { timeout: 30_000 });
  await walker.release(again);
  const formatted = await walker.use(mounted, volumeId);
  writeFileSync(join(formatted.targetPath, 'words'), 'a filesystem now');
  await walker.release(formatted);
  await walker.delete(volumeId);
  nothingIsLeft();
});

test('a filesystem grows while it is mounted; what is asked for again is done', async () => {
  const claim = claimOf('growing');
  const walked = await walker.use(claim, await walker.create(claim));
  const before = await node.nodeGetVolumeStats({ volumeId: 'growing', volumePath: walked.targetPath });
  assert.is(await walker.expand(walked, 1024 * MiB), 1024 * MiB);
  assert.is(await walker.expand(walked, 1024 * MiB), 1024 * MiB);
  const after = await node.nodeGetVolumeStats({ volumeId: 'growing', volumePath: walked.targetPath });
  assert.ok(after.usage[0]!.total - before.usage[0]!.total > 400 * MiB, 'the filesystem has the new space');
  assert.match(await refusal(controller.controllerExpandVolume({ volumeId: 'growing' })), /^INVALID_ARGUMENT: capacity_range/);
  await walker.release(walked);
  await walker.delete('growing');
});

test('one node writes a volume at a time, readers see it beside the writer, and a volume in use stays', async () => {
  const claim = claimOf('shared', null);
  await walker.create(claim);
  const volumeCapability = capabilityOf(claim);
  const published = await controller.controllerPublishVolume({ volumeId: 'shared', nodeId, volumeCapability });
  assert.match(published.publishContext['attachment']!, /^[1-9][0-9]*$/);
  assert.equal(await controller.controllerPublishVolume({ volumeId: 'shared', nodeId, volumeCapability }), published);
  const other = await cluster.addNode('node-2');
  assert.match(
    await refusal(controller.controllerPublishVolume({ volumeId: 'shared', nodeId: other.id, volumeCapability })),
    /^FAILED_PRECONDITION: .*"node-1" has it for writing; detach it there first/,
  );
  const reader = { volumeId: 'shared', nodeId: other.id, volumeCapability, readonly: true };
  const reading = await controller.controllerPublishVolume(reader);
  assert.is(reading.publishContext['readOnly'], 'true');
  assert.is.not(reading.publishContext['attachment'], published.publishContext['attachment']);
  assert.match(
    await refusal(controller.controllerPublishVolume({ volumeId: 'shared', nodeId, volumeCapability, readonly: true })),
    /^ALREADY_EXISTS: volume "shared" is published on node "node-1" for writing already/,
  );
  assert.match(
    await refusal(controller.controllerPublishVolume({ volumeId: 'shared', nodeId: 'node-9', volumeCapability })),
    /^NOT_FOUND: .*no such node is known/,
  );
  const { entries } = await controller.listVolumes({});
  assert.equal(entries.find((each) => each.volume!.volumeId === 'shared')!.status!.publishedNodeIds, [nodeId, other.id]);
  assert.match(await refusal(controller.deleteVolume({ volumeId: 'shared' })), /^FAILED_PRECONDITION: .*has it attached/);
  await controller.controllerUnpublishVolume({ volumeId: 'shared', nodeId });
  await controller.controllerUnpublishVolume({ volumeId: 'shared', nodeId });
  assert.match(await refusal(controller.deleteVolume({ volumeId: 'shared' })), /"node-2" has it attached for reading/);
  await controller.controllerUnpublishVolume({ volumeId: 'shared', nodeId: other.id });
  await walker.delete('shared');
});

test('a number from before a detach opens nothing any more', async () => {
  const claim = claimOf('fenced', null);
  await walker.create(claim);
  const volumeCapability = capabilityOf(claim);
  const { publishContext } = await controller.controllerPublishVolume({ volumeId: 'fenced', nodeId, volumeCapability });
  await controller.controllerUnpublishVolume({ volumeId: 'fenced', nodeId });
  const stagingTargetPath = join(kubeletFolder, 'fenced-stage');
  await world.files.makeFolder(stagingTargetPath);
  const staging = { volumeId: 'fenced', publishContext, stagingTargetPath, volumeCapability };
  assert.match(
    await refusal(node.nodeStageVolume(staging)),
    /^FAILED_PRECONDITION: .*attachment \d+ of volume "fenced" to "node-1" is over/,
  );
  await walker.delete('fenced');
  nothingIsLeft();
});

test('sizes, names and classes that do not fit are refused by name', async () => {
  const volumeCapabilities = [capabilityOf(claimOf('any'))];
  const create = (name: string, request: object): Promise<string> =>
    refusal(controller.createVolume({ name, volumeCapabilities, ...request }));
  assert.is(await create('fits', { capacityRange: { requiredBytes: 64 * MiB } }), 'OK');
  assert.match(
    await create('fits', { capacityRange: { requiredBytes: 128 * MiB } }),
    /^ALREADY_EXISTS: volume "fits" exists with 67108864 bytes/,
  );
  assert.is(await create('fits', { capacityRange: { requiredBytes: 32 * MiB, limitBytes: 64 * MiB } }), 'OK');
  assert.match(await create('fits', { parameters: { replicas: '2' } }), /^ALREADY_EXISTS/);
  assert.match(await create('a', { capacityRange: { requiredBytes: 2, limitBytes: 1 } }), /^INVALID_ARGUMENT: capacity_range/);
  assert.match(await create('a', { capacityRange: { requiredBytes: 5, limitBytes: 4095 } }), /^OUT_OF_RANGE: no size fits/);
  assert.match(await create('a', { capacityRange: { requiredBytes: 65 * 1024 ** 4 } }), /^OUT_OF_RANGE: .*at most 64 TiB/);
  assert.match(
    await create('a', { parameters: { replica: '2' } }),
    /^INVALID_ARGUMENT: parameter "replica" .*the known ones are replicas, cluster/,
  );
  assert.match(await create('a', { parameters: { replicas: '4' } }), /^INVALID_ARGUMENT: parameter "replicas" .*from 1 to 3/);
  assert.match(
    await create('a', { parameters: { cluster: 'other' } }),
    /^INVALID_ARGUMENT: parameter "cluster" .*this driver serves "pureflash"/,
  );
  assert.match(await create('a', { parameters: { encryption: 'luks' } }), /^INVALID_ARGUMENT: parameter "encryption"/);
  const long = 'n'.repeat(128);
  const [made, again] = [
    await controller.createVolume({ name: long, volumeCapabilities }),
    await controller.createVolume({ name: long, volumeCapabilities }),
  ];
  assert.match(made.volume!.volumeId, /^csi-[0-9a-f]{64}$/);
  assert.is(again.volume!.volumeId, made.volume!.volumeId);
  for (const id of ['fits', made.volume!.volumeId]) await walker.delete(id);
});

test('lists come in pages that hold while volumes come and go', async () => {
  for (const name of ['page-a', 'page-b', 'page-c']) await walker.create({ ...claimOf(name), parameters: { replicas: '1' } });
  const first = await controller.listVolumes({ maxEntries: 2 });
  assert.equal(
    first.entries.map((each) => each.volume!.volumeId),
    ['page-a', 'page-b'],
  );
  await walker.delete('page-b');
  const rest = await controller.listVolumes({ maxEntries: 2, startingToken: first.nextToken });
  assert.equal([rest.entries.map((each) => each.volume!.volumeId), rest.nextToken], [['page-c'], '']);
  assert.match(await refusal(controller.listVolumes({ startingToken: 'page-a' })), /^ABORTED/);
  for (const name of ['page-a', 'page-c']) await walker.delete(name);
});

test('capacity is what one more volume could hold', async () => {
  const of = async (replicas: string): Promise<number> =>
    (await controller.getCapacity({ parameters: { replicas } })).availableCapacity;
  const [one, three] = [await of('1'), await of('3')];
  assert.ok(three > 6 * 1024 * MiB && three < 8 * 1024 * MiB, `three disks of 8 GiB, three copies: ${three}`);
  assert.ok(one > 2.9 * three && one <= 3.1 * three, `one copy: ${one}`);
  assert.match(await refusal(controller.getCapacity({ parameters: { replicas: '0' } })), /^INVALID_ARGUMENT/);
});

test('a hundred hostile requests: each gets a clean refusal or does nothing, and the driver lives', async () => {
  const claim = claimOf('target');
  const walked = await walker.use(claim, await walker.create(claim));
  symlinkSync('/etc', join(kubeletFolder, 'link'));
  const pid = cluster.node.driver.pid;
  const statuses = new Map<string, number>();
  const requests = hostileRequests({ controller, node, walked, nodeId, kubeletFolder });
  assert.ok(requests.length >= 100, `${requests.length} requests`);
  for (const { title, send, expected } of requests) {
    const outcome = await refusal(send());
    const status = outcome.split(':')[0]!;
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
    assert.ok(expected.includes(status), `${title}: ${outcome}`);
    assert.not.match(outcome, /\n {4}at |node:internal/, `${title}: a stack`);
  }
  process.stdout.write(
    `${requests.length} hostile requests: ${[...statuses].map(([status, count]) => `${status} ${count}`).join(', ')}\n`,
  );
  assert.is(cluster.node.driver.pid, pid);
  assert.is(cluster.node.driver.isRunning, true);
  const { volumeCondition } = await node.nodeGetVolumeStats({ volumeId: 'target', volumePath: walked.targetPath });
  assert.is(volumeCondition!.abnormal, false, 'the volume that is in use has not noticed');
  await walker.release(walked);
  await walker.delete('target');
  const { entries } = await controller.listVolumes({});
  for (const { volume } of entries) await walker.delete(volume!.volumeId);
  nothingIsLeft();
});

test.run();
