// The volume client against a fake cluster in the simulated world: cutting and joining, failover, fencing, deadlines.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { GiB, KiB, MiB, TiB } from '../base/sizes.ts';
import { FLAG_FUA, FLAG_NO_HOLE, FLUSH, READ, TRIM, WRITE, WRITE_ZEROES } from '../block/device.ts';
import { ECANCELED, EINVAL, EIO, ENOSPC, EPERM } from '../world/completion.ts';
import type { Arena } from '../world/arena.ts';
import { OP_TRIM, OP_WRITE, OP_WRITE_ZEROES } from '../wire/messages.ts';
import { STATUS_NO_SPACE, STATUS_NOT_READY, STATUS_OK, STATUS_STALE } from '../wire/status.ts';
import { MemoryStore } from '../wire/testing/memory-store.ts';
import { until } from '../wire/testing/raw-peer.ts';
import { fillPattern, patternMatches } from '../wire/testing/two-machines.ts';
import { FakeCluster } from './testing/fake-cluster.ts';
import { TestRequest } from './testing/test-request.ts';

test('a request over a shard border is cut there and joined again', async () => {
  const cluster = await FakeCluster.open(1);
  await cluster.onClient(async (world) => {
    const device = await cluster.openVolume(world);
    const memory = world.memory.acquireSlot(MiB);
    const offset = GiB / 4 - 64 * KiB;
    fillPattern(world.memory, memory, 128 * KiB, 9);
    assert.is(await new TestRequest(WRITE, offset, 128 * KiB, memory).run(device), 0);
    assert.equal(
      cluster.stores.map((store) => store.memory.seen.map(({ offset, length }) => [offset, length])),
      [[[268369920, 65536]], [[268435456, 65536]]],
    );
    world.memory.bytes.fill(0, memory, memory + 128 * KiB);
    assert.is(await new TestRequest(READ, offset, 128 * KiB, memory).run(device), 0);
    assert.ok(patternMatches(world.memory, memory, 128 * KiB, 9));
    assert.equal([device.stats.requests, device.stats.bytesRead, device.stats.bytesWritten], [2, 131072, 131072]);
    await device.close();
  });
});

test('a trim of the whole volume is cut at 1 GiB and at shard borders, a bounded number at a time', async () => {
  const cluster = await FakeCluster.open(2, { stores: 1, sizeBytes: 100 * GiB, shardBytes: 64 * GiB });
  await cluster.onClient(async (world) => {
    const device = await cluster.openVolume(world);
    const { memory } = cluster.stores[0]!;
    memory.isHolding = true;
    const trim = new TestRequest(TRIM, 512 * MiB, 99 * GiB);
    device.submit(trim);
    await until(world, () => memory.held.length === 32, 'a full window');
    await world.clock.sleep(50);
    assert.is(memory.held.length, 32);
    memory.isHolding = false;
    memory.release();
    assert.is(await trim.done, 0);
    assert.is(memory.seen.length, 100);
    assert.equal([memory.seen[0]!.offset, memory.seen[0]!.length], [536870912, 1073741824]);
    assert.equal([memory.seen[63]!.offset, memory.seen[63]!.length], [68182605824, 536870912]);
    assert.equal([memory.seen[64]!.offset, memory.seen[64]!.length], [68719476736, 1073741824]);
    await device.close();
  });
});

test('flags and operations become their opcodes; a flush asks nobody', async () => {
  const cluster = await FakeCluster.open(3, { stores: 1 });
  await cluster.onClient(async (world) => {
    const device = await cluster.openVolume(world);
    const memory = world.memory.acquireSlot(4096);
    assert.is(await new TestRequest(WRITE, 0, 4096, memory, FLAG_FUA).run(device), 0);
    assert.is(await new TestRequest(WRITE_ZEROES, 4096, 4096, 0, FLAG_NO_HOLE).run(device), 0);
    assert.is(await new TestRequest(TRIM, 8192, 4096).run(device), 0);
    assert.is(await new TestRequest(FLUSH).run(device), 0);
    assert.is(await new TestRequest(TRIM, 8192, 0).run(device), 0);
    assert.equal(
      cluster.stores[0]!.memory.seen.map(({ opcode, flags }) => [opcode, flags & 9]),
      [
        [OP_WRITE, 1],
        [OP_WRITE_ZEROES, 8],
        [OP_TRIM, 0],
      ],
    );
    await device.close();
  });
});

test('offsets up to 64 TiB arrive exactly', async () => {
  const cluster = await FakeCluster.open(4, { stores: 3, sizeBytes: 64 * TiB, shardBytes: 64 * GiB });
  await cluster.onClient(async (world) => {
    const device = await cluster.openVolume(world);
    const memory = world.memory.acquireSlot(4096);
    for (const offset of [64 * TiB - 4096, 32 * TiB + 512, 2 ** 45 + 4096]) {
      fillPattern(world.memory, memory, 512, offset % 251);
      assert.is(await new TestRequest(WRITE, offset, 512, memory).run(device), 0);
      world.memory.bytes.fill(0, memory, memory + 512);
      assert.is(await new TestRequest(READ, offset, 512, memory).run(device), 0);
      assert.ok(patternMatches(world.memory, memory, 512, offset % 251), `offset ${offset}`);
    }
    assert.ok(cluster.blocks.has(64 * 2 ** 28 - 1), 'the last block of the volume was written');
    assert.is(await new TestRequest(WRITE, 64 * TiB - 512, 1024, memory).run(device), ENOSPC);
    assert.is(await new TestRequest(READ, 64 * TiB, 512, memory).run(device), EINVAL);
    assert.is(await new TestRequest(READ, 100, 512, memory).run(device), EINVAL);
    await device.close();
  });
});

test('requests survive a broken connection and are sent again', async () => {
  const cluster = await FakeCluster.open(5, { stores: 1 });
  await cluster.onClient(async (world) => {
    const device = await cluster.openVolume(world);
    const { memory, process } = cluster.stores[0]!;
    const slot = world.memory.acquireSlot(MiB);
    memory.isHolding = true;
    const writes = Array.from({ length: 20 }, (_, index) => new TestRequest(WRITE, index * 64 * KiB, 64 * KiB, slot));
    for (const write of writes) device.submit(write);
    await until(world, () => memory.held.length > 5, 'held writes');
    cluster.sim.network.resetConnections(cluster.client.host, process.host);
    await world.clock.sleep(30);
    memory.isHolding = false;
    memory.release();
    for (const write of writes) assert.is(await write.done, 0);
    assert.ok(device.stats.retries >= 20);
    assert.ok(memory.seen.some((seen) => seen.commandSequence === 1));
    assert.is(await new TestRequest(TRIM, 0, 4096).run(device), 0);
    assert.is(memory.seen.at(-1)!.commandSequence, 0);
    await device.close();
  });
});

test('a connection that comes again waits for what the old one had in flight', async () => {
  const cluster = await FakeCluster.open(6, { stores: 1 });
  await cluster.onClient(async (world) => {
    const device = await cluster.openVolume(world);
    const { memory, process } = cluster.stores[0]!;
    const slot = world.memory.acquireSlot(4096);
    memory.isHolding = true;
    const write = new TestRequest(WRITE, 0, 4096, slot);
    device.submit(write);
    await until(world, () => memory.held.length === 1, 'the held write');
    cluster.sim.network.resetConnections(cluster.client.host, process.host);
    await world.clock.sleep(3000);
    assert.is(memory.seen.length, 1, 'the second copy waits until the first has ended');
    assert.not(write.isDone);
    memory.isHolding = false;
    memory.release();
    assert.is(await write.done, 0);
    assert.is(memory.seen.length, 2);
    await device.close();
  });
});

test('when the primary moves, requests follow, and the old path is given up', async () => {
  const cluster = await FakeCluster.open(7);
  await cluster.onClient(async (world) => {
    const device = await cluster.openVolume(world);
    const slot = world.memory.acquireSlot(4096);
    assert.is(await new TestRequest(WRITE, 0, 4096, slot).run(device), 0);
    const opens = cluster.opens.length;
    for (let shard = 0; shard < 4; shard += 1) cluster.move(shard, 1);
    assert.is(await new TestRequest(WRITE, 0, 4096, slot).run(device), 0);
    assert.equal(cluster.opens.slice(opens), ['epoch 1']);
    assert.is(device.stats.reopens, 1);
    assert.is(cluster.stores[1]!.memory.seen.at(-1)!.metaVersion, 2);
    await until(world, () => cluster.stores[0]!.listener.connectionCount === 0, 'the unused connection to close');
    await device.close();
  });
});

test('a store whose machine dies is left for the new primary as soon as the conductor says so', async () => {
  const cluster = await FakeCluster.open(8);
  await cluster.onClient(async (world) => {
    const device = await cluster.openVolume(world);
    const slot = world.memory.acquireSlot(64 * KiB);
    assert.is(await new TestRequest(WRITE, 0, 64 * KiB, slot).run(device), 0);
    cluster.stores[0]!.process.host.powerOff();
    const writes = Array.from({ length: 10 }, (_, index) => new TestRequest(WRITE, index * 64 * KiB, 64 * KiB, slot));
    for (const write of writes) device.submit(write);
    cluster.sim.schedule(1500, () => [0, 2].forEach((shard) => cluster.move(shard, 1)));
    for (const write of writes) assert.is(await write.done, 0);
    assert.ok(
      device.stats.longestStallMs > 1000 && device.stats.longestStallMs < 2000,
      `stalled ${device.stats.longestStallMs} ms`,
    );
    await device.close();
  });
});

test('a primary that freezes is noticed by its silence', async () => {
  const cluster = await FakeCluster.open(9);
  await cluster.onClient(async (world) => {
    const device = await cluster.openVolume(world);
    const slot = world.memory.acquireSlot(4096);
    assert.is(await new TestRequest(READ, 0, 4096, slot).run(device), 0);
    cluster.stores[0]!.process.pause();
    cluster.move(0, 1);
    cluster.move(2, 1);
    assert.is(await new TestRequest(READ, 0, 4096, slot).run(device), 0);
    assert.ok(
      device.stats.longestStallMs > 900 && device.stats.longestStallMs < 1600,
      `stalled ${device.stats.longestStallMs} ms`,
    );
    cluster.stores[0]!.process.resume();
    await device.close();
  });
});

test('a primary that is not ready, or behind, is asked again until it serves', async () => {
  const cluster = await FakeCluster.open(10, { stores: 1 });
  await cluster.onClient(async (world) => {
    const device = await cluster.openVolume(world);
    const { memory } = cluster.stores[0]!;
    const slot = world.memory.acquireSlot(4096);
    for (const status of [STATUS_NOT_READY, STATUS_STALE]) {
      const before = memory.seen.length;
      const startedMs = world.clock.now();
      memory.judge = () => (world.clock.now() - startedMs < 500 ? status : STATUS_OK);
      assert.is(await new TestRequest(WRITE, 0, 4096, slot).run(device), 0);
      const attempts = memory.seen.length - before;
      const most = status === STATUS_NOT_READY ? 26 : 11;
      assert.ok(attempts >= most / 2 && attempts <= most, `${attempts} attempts in half a second`);
    }
    await device.close();
  });
});

test('a primary that is not ready is asked by one request for all', async () => {
  const cluster = await FakeCluster.open(24, { stores: 1 });
  await cluster.onClient(async (world) => {
    const device = await cluster.openVolume(world);
    const { memory } = cluster.stores[0]!;
    const startedMs = world.clock.now();
    memory.judge = () => (world.clock.now() - startedMs < 500 ? STATUS_NOT_READY : STATUS_OK);
    const trims: TestRequest[] = [];
    for (let count = 0; count < 200; count += 1) {
      trims.push(new TestRequest(TRIM, 4096 * count, 4096));
      device.submit(trims[count]!);
      await world.clock.sleep(1);
    }
    for (const trim of trims) assert.is(await trim.done, 0);
    assert.ok(memory.seen.length < 200 + 40, `${memory.seen.length} commands for 200 requests`);
    assert.ok(device.stats.longestStallMs < 560, 'all of them go on as soon as it serves');
    await device.close();
  });
});

test('a conductor that answers an older layout is not followed', async () => {
  const cluster = await FakeCluster.open(25);
  await cluster.onClient(async (world) => {
    const device = await cluster.openVolume(world);
    cluster.move(0, 1);
    assert.is(await new TestRequest(TRIM, 0, 4096).run(device), 0);
    cluster.answersLayout = {
      ...cluster.layout,
      shards: cluster.layout.shards.map((shard) => ({ ...shard, meta_ver: 1, primary_rep_index: 0 })),
    };
    const startedMs = world.clock.now();
    const { memory } = cluster.stores[1]!;
    memory.judge = (command) => (world.clock.now() - startedMs < 400 ? STATUS_NOT_READY : cluster.judge(1, command));
    const others = cluster.stores[0]!.memory.seen.length;
    assert.is(await new TestRequest(TRIM, 0, 4096).run(device), 0);
    assert.is(cluster.stores[0]!.memory.seen.length, others);
    await device.close();
  });
});

test('a shard that is in trouble does not hold up the others', async () => {
  const cluster = await FakeCluster.open(11);
  await cluster.onClient(async (world) => {
    const device = await cluster.openVolume(world);
    const slot = world.memory.acquireSlot(4096);
    cluster.stores[0]!.process.pause();
    const stuck = new TestRequest(READ, 0, 4096, slot);
    device.submit(stuck);
    for (let index = 0; index < 50; index += 1) {
      const startedMs = world.clock.now();
      assert.is(await new TestRequest(READ, GiB / 4, 4096, slot).run(device), 0);
      assert.ok(world.clock.now() - startedMs < 50);
      await world.clock.sleep(20);
    }
    cluster.stores[0]!.process.resume();
    assert.is(await stuck.done, 0);
    await device.close();
  });
});

test('a fenced writer fails at once and for good, and its flushes with it', async () => {
  const cluster = await FakeCluster.open(12);
  await cluster.onClient(async (world) => {
    const first = await cluster.openVolume(world);
    const slot = world.memory.acquireSlot(4096);
    assert.is(await new TestRequest(WRITE, 0, 4096, slot).run(first), 0);
    const second = await cluster.openVolume(world);
    assert.is(second.attachEpoch, 2);
    assert.is(await new TestRequest(WRITE, 0, 4096, slot).run(first), EIO);
    assert.is(first.failure?.code, 'FENCED');
    assert.equal(cluster.opens, ['write', 'write'], 'the status alone is enough');
    const seen = cluster.stores[0]!.memory.seen.length;
    for (const operation of [READ, WRITE, FLUSH, TRIM] as const)
      assert.is(await new TestRequest(operation, 0, 4096, slot).run(first), EIO);
    assert.is(cluster.stores[0]!.memory.seen.length, seen, 'nothing more is sent');
    assert.is(await new TestRequest(WRITE, 0, 4096, slot).run(second), 0);
    await first.close();
    await second.close();
  });
});

test('a writer that learns from the conductor that it is fenced ends what is parked', async () => {
  const cluster = await FakeCluster.open(13);
  await cluster.onClient(async (world) => {
    const device = await cluster.openVolume(world);
    const slot = world.memory.acquireSlot(4096);
    cluster.stores[0]!.process.host.powerOff();
    const write = new TestRequest(WRITE, 0, 4096, slot);
    device.submit(write);
    cluster.attachEpoch += 1;
    const startedMs = world.clock.now();
    assert.is(await write.done, EIO);
    assert.ok(world.clock.now() - startedMs < 3000);
    assert.is(device.failure?.code, 'FENCED');
    await device.close();
  });
});

test('a reader raises no epoch, refuses writes, and follows a new writer', async () => {
  const cluster = await FakeCluster.open(14);
  await cluster.onClient(async (world) => {
    const writer = await cluster.openVolume(world);
    const reader = await cluster.openVolume(world, { isReadOnly: true });
    assert.equal([writer.attachEpoch, reader.attachEpoch, cluster.attachEpoch], [1, 1, 1]);
    const slot = world.memory.acquireSlot(4096);
    assert.is(await new TestRequest(READ, 0, 4096, slot).run(reader), 0);
    assert.is(await new TestRequest(WRITE, 0, 4096, slot).run(reader), EPERM);
    const newWriter = await cluster.openVolume(world);
    assert.is(await new TestRequest(READ, 0, 4096, slot).run(reader), 0);
    assert.is(reader.attachEpoch, 2);
    assert.is(await new TestRequest(READ, 0, 4096, slot).run(writer), EIO);
    for (const device of [writer, reader, newWriter]) await device.close();
  });
});

test('a volume that was deleted fails its requests', async () => {
  const cluster = await FakeCluster.open(15, { stores: 1 });
  await cluster.onClient(async (world) => {
    const device = await cluster.openVolume(world);
    cluster.conductorError = { ret_code: 8, code: 'NOT_FOUND' };
    cluster.shards[0]!.metaVersion += 1;
    assert.is(await new TestRequest(TRIM, 0, 4096).run(device), EIO);
    assert.is(device.failure?.code, 'NOT_FOUND');
    await device.close();
  });
});

test('a volume that was deleted and created anew under its name is not written to', async () => {
  const cluster = await FakeCluster.open(26, { stores: 1 });
  await cluster.onClient(async (world) => {
    const [writer, reader] = [await cluster.openVolume(world), await cluster.openVolume(world, { isReadOnly: true })];
    const { memory } = cluster.stores[0]!;
    // The stores know the volume under its new id, and refuse what belongs to an older configuration.
    cluster.move(0, 0);
    cluster.answersLayout = { ...cluster.layout, volume_id: 67 * 2 ** 24 };
    const slot = world.memory.acquireSlot(4096);
    for (const device of [writer, reader]) {
      assert.is(await new TestRequest(READ, 0, 4096, slot).run(device), EIO);
      assert.is(device.failure?.code, 'NOT_FOUND');
      assert.is(device.failure?.message, 'volume "v1" was deleted and created anew; open it again');
    }
    const seen = memory.seen.length;
    assert.is(await new TestRequest(WRITE, GiB / 4, 4096, slot).run(writer), EIO);
    assert.is(memory.seen.length, seen, 'nothing more is sent');
    for (const device of [writer, reader]) await device.close();
  });
});

test('a request without success fails at its deadline, and its memory is not touched afterwards', async () => {
  const cluster = await FakeCluster.open(16, { stores: 1 });
  await cluster.onClient(async (world) => {
    const device = await cluster.openVolume(world, { deadlineMs: 3000 });
    const { memory } = cluster.stores[0]!;
    memory.isHolding = true;
    const slot = world.memory.acquireSlot(MiB);
    const read = new TestRequest(READ, 0, MiB, slot);
    const startedMs = world.clock.now();
    assert.is(await read.run(device), EIO);
    const tookMs = world.clock.now() - startedMs;
    assert.ok(tookMs >= 3000 && tookMs < 3600, `after ${tookMs} ms`);
    world.memory.bytes.fill(0x77, slot, slot + MiB);
    memory.isHolding = false;
    memory.release();
    await world.clock.sleep(1000);
    assert.ok(world.memory.bytes.subarray(slot, slot + MiB).every((byte) => byte === 0x77));
    assert.is(await new TestRequest(READ, 0, 4096, slot).run(device), 0, 'the device goes on');
    await device.close();
  });
});

test('requests that wait for a path fail at their deadline as well', async () => {
  const cluster = await FakeCluster.open(17, { stores: 1 });
  await cluster.onClient(async (world) => {
    const device = await cluster.openVolume(world, { deadlineMs: 2000 });
    cluster.stores[0]!.process.host.powerOff();
    cluster.conductor.pause();
    const slot = world.memory.acquireSlot(4096);
    const startedMs = world.clock.now();
    const requests = Array.from({ length: 50 }, () => new TestRequest(READ, 0, 4096, slot));
    for (const request of requests) device.submit(request);
    for (const request of requests) assert.is(await request.done, EIO);
    assert.ok(world.clock.now() - startedMs < 2600);
    assert.is(device.outstanding, 0);
    await device.close();
  });
});

test('several connections share the load', async () => {
  const cluster = await FakeCluster.open(18, { stores: 1 });
  await cluster.onClient(async (world) => {
    const device = await cluster.openVolume(world, { connections: 3, depth: 4 });
    const { memory, listener } = cluster.stores[0]!;
    await until(world, () => listener.connectionCount === 3, 'three connections');
    memory.isHolding = true;
    const slot = world.memory.acquireSlot(4096);
    const reads = Array.from({ length: 40 }, () => new TestRequest(READ, 0, 4096, slot));
    for (const read of reads) device.submit(read);
    await until(world, () => memory.held.length === 12, 'twelve reads in flight on three connections');
    memory.isHolding = false;
    memory.release();
    for (const read of reads) assert.is(await read.done, 0);
    await device.close();
  });
});

test('a store in the same process serves without a connection until the primary moves', async () => {
  const cluster = await FakeCluster.open(19, { stores: 2, sizeBytes: GiB, shardBytes: GiB });
  await cluster.onClient(async (world) => {
    const local = new MemoryStore(world.memory, cluster.blocks);
    local.judge = (command) => cluster.judge(0, command);
    const device = await cluster.openVolume(world, { localLink: { storeId: 1, link: local } });
    const slot = world.memory.acquireSlot(MiB);
    fillPattern(world.memory, slot, MiB, 4);
    assert.is(await new TestRequest(WRITE, 0, MiB, slot).run(device), 0);
    assert.is(await new TestRequest(TRIM, 0, GiB).run(device), 0);
    assert.is(local.seen.length, 2);
    assert.is(cluster.stores[0]!.listener.connectionCount, 0);
    cluster.move(0, 1);
    assert.is(await new TestRequest(WRITE, 0, 4096, slot).run(device), 0);
    assert.is(cluster.stores[1]!.memory.seen.length, 1);
    await device.close();
  });
});

test('a store in the same process that answers at once does not pile up calls', async () => {
  const cluster = await FakeCluster.open(20, { stores: 1, sizeBytes: 64 * TiB, shardBytes: 64 * GiB });
  await cluster.onClient(async (world) => {
    const local = new MemoryStore(world.memory, cluster.blocks);
    const device = await cluster.openVolume(world, { localLink: { storeId: 1, link: local } });
    assert.is(await new TestRequest(TRIM, 0, 64 * TiB).run(device), 0);
    assert.is(local.seen.length, 65536);
    await device.close();
  });
});

test('the map of written blocks comes as extents that cover the range exactly', async () => {
  const cluster = await FakeCluster.open(21);
  await cluster.onClient(async (world) => {
    const device = await cluster.openVolume(world);
    const slot = world.memory.acquireSlot(64 * KiB);
    await new TestRequest(WRITE, GiB / 4 - 8 * KiB, 16 * KiB, slot).run(device);
    await new TestRequest(WRITE, 512, 512, slot).run(device);
    const extents = (await device.extents(512, GiB / 4 + MiB)).map(({ length, isAllocated, isZero }) => [
      length,
      isAllocated,
      isZero,
    ]);
    assert.equal(extents, [
      [3584, true, false],
      [268423168, false, true],
      [16384, true, false],
      [1040896, false, true],
    ]);
    assert.is(
      (await device.extents(0, GiB)).reduce((sum, extent) => sum + extent.length, 0),
      GiB,
    );
    assert.is((world.memory as Arena).takenSlots, 1);
    await device.close();
  });
});

test('what the store refuses for good becomes an errno', async () => {
  const cluster = await FakeCluster.open(22, { stores: 1 });
  await cluster.onClient(async (world) => {
    const device = await cluster.openVolume(world);
    cluster.stores[0]!.memory.judge = () => STATUS_NO_SPACE;
    assert.is(await new TestRequest(TRIM, 0, 4096).run(device), ENOSPC);
    assert.is(device.stats.failures, 1);
    await device.close();
  });
});

test('close() waits for what is in flight, refuses what comes later, and leaves nothing behind', async () => {
  const cluster = await FakeCluster.open(23, { stores: 1 });
  await cluster.onClient(async (world) => {
    const device = await cluster.openVolume(world);
    const { memory, listener } = cluster.stores[0]!;
    memory.isHolding = true;
    const trim = new TestRequest(TRIM, 0, 4096);
    device.submit(trim);
    await until(world, () => memory.held.length === 1, 'the held trim');
    const closing = device.close();
    assert.is(await new TestRequest(TRIM, 0, 4096).run(device), ECANCELED);
    memory.release();
    assert.is(await trim.done, 0);
    await closing;
    await until(world, () => listener.connectionCount === 0, 'the connection to end');
    await device.close();
  });
  const left = [...cluster.client.resources].map((resource) => resource.describe()).filter((text) => !text.includes('http'));
  assert.equal(left, []);
});

test.run();
