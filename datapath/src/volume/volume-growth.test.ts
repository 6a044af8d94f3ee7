// The volume client and what the conductor knows of it: a volume that grows while it is open, and closing.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { PfError } from '../base/errors.ts';
import { GiB, KiB } from '../base/sizes.ts';
import { READ, TRIM, WRITE } from '../block/device.ts';
import { ENOSPC } from '../world/completion.ts';
import { fillPattern, patternMatches } from '../wire/testing/two-machines.ts';
import { FakeCluster } from './testing/fake-cluster.ts';
import { TestRequest } from './testing/test-request.ts';

const SHARD = GiB / 4;

test('refresh() learns of a growth: its shards are used at once, by the same device', async () => {
  const cluster = await FakeCluster.open(31, { sizeBytes: SHARD });
  await cluster.onClient(async (world) => {
    const device = await cluster.openVolume(world);
    const memory = world.memory.acquireSlot(128 * KiB);
    fillPattern(world.memory, memory, 128 * KiB, 3);
    assert.is(await new TestRequest(WRITE, SHARD, 64 * KiB, memory).run(device), ENOSPC);
    assert.is(await device.refresh(), SHARD, 'it has not grown');
    cluster.grow(3 * SHARD);
    assert.is(device.sizeBytes, SHARD, 'nobody has asked yet');
    assert.is(await device.refresh(), 3 * SHARD);
    assert.is(device.sizeBytes, 3 * SHARD);
    assert.is(await new TestRequest(WRITE, 2 * SHARD - 64 * KiB, 128 * KiB, memory).run(device), 0);
    world.memory.bytes.fill(0, memory, memory + 128 * KiB);
    assert.is(await new TestRequest(READ, 2 * SHARD - 64 * KiB, 128 * KiB, memory).run(device), 0);
    assert.ok(patternMatches(world.memory, memory, 128 * KiB, 3));
    assert.is(
      (await device.extents(0, 3 * SHARD)).reduce((sum, extent) => sum + extent.length, 0),
      3 * SHARD,
    );
    assert.is(await new TestRequest(TRIM, 0, 3 * SHARD).run(device), 0);
    await device.close();
  });
});

test('a growth inside the last shard is learnt from the layout that a refused request asks for', async () => {
  const cluster = await FakeCluster.open(32, { sizeBytes: SHARD / 2 });
  await cluster.onClient(async (world) => {
    const device = await cluster.openVolume(world);
    cluster.grow(SHARD);
    cluster.shards[0]!.metaVersion += 1;
    assert.is(await new TestRequest(TRIM, 0, 4096).run(device), 0);
    assert.is(device.sizeBytes, SHARD);
    assert.is(await new TestRequest(TRIM, SHARD - 4096, 4096).run(device), 0);
    await device.close();
  });
});

test('a layout that is older than the one held takes no space away', async () => {
  const cluster = await FakeCluster.open(33, { sizeBytes: SHARD });
  await cluster.onClient(async (world) => {
    const device = await cluster.openVolume(world);
    const old = cluster.layout;
    cluster.grow(2 * SHARD);
    await device.refresh();
    cluster.answersLayout = old;
    assert.is(await device.refresh(), 2 * SHARD);
    await device.close();
  });
});

test('refresh() of a fenced writer fails with FENCED, of a closed one with CANCELLED', async () => {
  const cluster = await FakeCluster.open(34);
  const codeOf = (promise: Promise<unknown>) =>
    promise.then(
      () => 'none',
      (error: PfError) => error.code,
    );
  await cluster.onClient(async (world) => {
    const first = await cluster.openVolume(world);
    const second = await cluster.openVolume(world);
    assert.is(await codeOf(first.refresh()), 'FENCED');
    await second.close();
    assert.is(await codeOf(second.refresh()), 'CANCELLED');
    await first.close();
  });
});

test('a writer says who it is when it opens, and lets go with its epoch when it closes; a reader and a fenced writer say nothing', async () => {
  const cluster = await FakeCluster.open(35);
  await cluster.onClient(async (world) => {
    const fenced = await cluster.openVolume(world, { client: 'node1' });
    const writer = await cluster.openVolume(world, { client: 'node2' });
    const reader = await cluster.openVolume(world, { isReadOnly: true });
    assert.equal(cluster.clients, ['node1', 'node2', undefined]);
    await fenced.refresh().catch(() => undefined);
    for (const device of [fenced, reader]) await device.close();
    assert.equal(cluster.closes, []);
    await writer.close();
    await writer.close();
    assert.equal(cluster.closes, ['epoch 2 of 1107296256']);
  });
});

test('a close ends in time and without an error when the conductor cannot be told', async () => {
  const cluster = await FakeCluster.open(36);
  await cluster.onClient(async (world) => {
    const device = await cluster.openVolume(world);
    cluster.conductor.kill();
    const startedAt = world.clock.now();
    await device.close();
    const tookMs = world.clock.now() - startedAt;
    assert.ok(tookMs <= 2_100, `${tookMs} ms`);
  });
});

test.run();
