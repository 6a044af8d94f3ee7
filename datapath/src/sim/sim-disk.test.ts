// What a simulated disk and its files keep: the rules of durability, faults, locks, and power-cut images of a trace.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { PfError } from '../base/errors.ts';
import { CompletionPromise } from '../world/completion.ts';
import type { Disk } from '../world/disk.ts';
import type { World } from '../world/world.ts';
import { DiskTrace } from './disk-trace.ts';
import { SeededRandom } from './seeded-random.ts';
import type { SimHost } from './sim-host.ts';
import type { SimProcess } from './sim-process.ts';
import { Simulator } from './simulator.ts';

const PATH = '/dev/nvme1';

interface Bench {
  sim: Simulator;
  host: SimHost;
  process: SimProcess;
  disk: Disk;
}

async function openedDisk(seed: number): Promise<Bench> {
  const sim = new Simulator(seed);
  const host = sim.machine('m');
  host.addDisk(PATH, { sizeBytes: 1024 ** 4 });
  const process = host.startProcess('p', async () => undefined);
  const disk = await process.perform((world) => world.disks.open(PATH, {}));
  return { sim, host, process, disk };
}

async function write(world: World, disk: Disk, offset: number, value: number, isDurable = false, length = 4096): Promise<number> {
  const memory = world.memory.reserve(length);
  world.memory.bytes.fill(value, memory, memory + length);
  const done = new CompletionPromise();
  disk.write(offset, memory, length, isDurable, done);
  const result = await done.done;
  world.memory.release(memory, length);
  return result;
}

async function flush(disk: Disk): Promise<number> {
  const done = new CompletionPromise();
  disk.flush(done);
  return done.done;
}

async function read(world: World, disk: Disk, offset: number, length = 4096): Promise<Uint8Array | number> {
  const memory = world.memory.reserve(length);
  const done = new CompletionPromise();
  disk.read(offset, memory, length, done);
  const result = await done.done;
  return result === 0 ? world.memory.bytes.slice(memory, memory + length) : result;
}

test('a crash keeps what was flushed or durable, and only some of the rest, torn at 512 bytes', async () => {
  const outcomes = new Set<string>();
  for (let seed = 1; seed <= 60; seed += 1) {
    const { host, process, disk } = await openedDisk(seed);
    await process.perform(async (world) => {
      await write(world, disk, 0, 1);
      await flush(disk);
      await write(world, disk, 4096, 2, true);
      await write(world, disk, 8192, 3);
    });
    process.crash();
    const { content } = host.disk(PATH);
    assert.ok(
      content.bytesAt(0, 4096).every((byte) => byte === 1),
      'flushed',
    );
    assert.ok(
      content.bytesAt(4096, 4096).every((byte) => byte === 2),
      'durable',
    );
    const rest = content.bytesAt(8192, 4096);
    const sectors = Array.from({ length: 8 }, (_, index) => rest.subarray(index * 512, index * 512 + 512));
    for (const sector of sectors)
      assert.ok(
        sector.every((byte) => byte === sector[0]),
        'a sector is whole',
      );
    const landed = sectors.filter((sector) => sector[0] === 3).length;
    outcomes.add(landed === 0 ? 'nothing' : landed === 8 ? 'all' : 'torn');
  }
  assert.equal([...outcomes].sort(), ['all', 'nothing', 'torn']);
});

test('a write under way during a flush is not covered by it', async () => {
  let lost = 0;
  for (let seed = 1; seed <= 40; seed += 1) {
    const { host, process, disk } = await openedDisk(seed);
    host.disk(PATH).speed.writeMs = 0.1;
    host.disk(PATH).speed.flushMs = 5;
    await process.perform(async (world) => {
      const late = write(world, disk, 0, 1);
      await flush(disk);
      await late;
    });
    process.crash();
    if (host.disk(PATH).content.bytesAt(0, 1)[0] === 0) lost += 1;
  }
  assert.ok(lost > 5, `lost in ${lost} of 40 seeds`);
});

test('kill -9 keeps what was completed, and unlocks', async () => {
  const { host, process, disk } = await openedDisk(3);
  await process.perform((world) => write(world, disk, 4096, 9));
  const second = host.startProcess('q', async () => undefined);
  const code = await second.perform((world) => world.disks.open(PATH, {})).catch((error: PfError) => error.code);
  assert.is(code, 'INVALID_STATE');
  process.kill();
  const reopened = await second.perform((world) => world.disks.open(PATH, {}));
  const bytes = await second.perform((world) => read(world, reopened, 4096));
  assert.ok((bytes as Uint8Array).every((byte) => byte === 9));
});

test('a disk of 1 TiB costs what was written, and refuses what a disk refuses', async () => {
  const { host, process, disk } = await openedDisk(4);
  const results = await process.perform(async (world) => [
    await write(world, disk, 1024 ** 4 - 4096, 5),
    await write(world, disk, 100, 5),
    await write(world, disk, 1024 ** 4, 5),
    await read(world, disk, 1024 ** 4),
  ]);
  assert.equal(results, [0, 22, 22, 22]);
  assert.is(host.disk(PATH).content.allocatedBytes, 4096);
  const missing = await process.perform((world) => world.disks.open('/dev/none', {})).catch((error: PfError) => error.code);
  assert.is(missing, 'NOT_FOUND');
});

test('many requests complete out of order, and close() waits for them', async () => {
  const { process, disk } = await openedDisk(5);
  const order: number[] = [];
  await process.perform(async (world) => {
    for (let index = 0; index < 50; index += 1)
      disk.write(index * 4096, 4096, 4096, false, { complete: () => order.push(index) });
    assert.is(disk.inFlight, 50);
    await disk.close();
    assert.is(world.clock.now() > 0, true);
  });
  assert.is(order.length, 50);
  assert.not.equal(
    order,
    order.slice().sort((left, right) => left - right),
  );
});

test('memory that is reused before the completion shows on the disk', async () => {
  const { host, process, disk } = await openedDisk(6);
  await process.perform(async (world) => {
    const memory = world.memory.reserve(4096);
    world.memory.bytes.fill(1, memory, memory + 4096);
    const done = new CompletionPromise();
    disk.write(0, memory, 4096, false, done);
    world.memory.bytes.fill(2, memory, memory + 4096);
    await done.done;
  });
  assert.is(host.disk(PATH).content.bytesAt(0, 1)[0], 2);
});

test('each fault does what it says and is written down', async () => {
  const { sim, host, process, disk } = await openedDisk(7);
  const device = host.disk(PATH);
  const one = async (kind: keyof typeof device.faults, work: (world: World) => Promise<unknown>): Promise<unknown> => {
    device.faults[kind] = 1;
    const result = await process.perform(work);
    device.faults[kind] = 0;
    return result;
  };
  await process.perform((world) => write(world, disk, 0, 1));
  assert.is(await one('lostWrite', (world) => write(world, disk, 0, 2)), 0);
  assert.is(device.content.bytesAt(0, 1)[0], 1);
  assert.is(await one('writeError', (world) => write(world, disk, 8192, 2)), 5);
  assert.is(await one('readError', (world) => read(world, disk, 0)), 5);
  assert.is(await one('flushError', () => flush(disk)), 5);
  assert.is(await one('misdirectedWrite', (world) => write(world, disk, 0, 3)), 0);
  assert.is(device.content.bytesAt(0, 1)[0], 1);
  const rotten = (await one('bitRot', (world) => read(world, disk, 0))) as Uint8Array;
  assert.is(rotten.filter((byte) => byte !== 1).length, 1);
  device.failReads(0, 512);
  assert.is(await process.perform((world) => read(world, disk, 0)), 5);
  await process.perform((world) => write(world, disk, 0, 4));
  assert.ok(((await process.perform((world) => read(world, disk, 0))) as Uint8Array).every((byte) => byte === 4));
  assert.equal(
    device.injected.map((fault) => fault.kind),
    ['lostWrite', 'writeError', 'readError', 'flushError', 'misdirectedWrite', 'bitRot'],
  );
  device.setStuck(true);
  sim.schedule(500, () => device.setStuck(false));
  const start = sim.now;
  await process.perform((world) => read(world, disk, 0));
  assert.ok(sim.now - start >= 500);
});

test('a trace replays every prefix, and power cuts keep exactly what must be kept', async () => {
  const { host, process, disk } = await openedDisk(8);
  const device = host.disk(PATH);
  const trace = (device.trace = new DiskTrace(device.content));
  await process.perform(async (world) => {
    await write(world, disk, 0, 1);
    await write(world, disk, 4096, 2, true);
    await flush(disk);
    await write(world, disk, 0, 3);
  });
  assert.equal(
    trace.entries.map((entry) => [entry.kind, entry.offset, entry.isDurable, entry.submittedAt]),
    [
      ['write', 0, false, 0],
      ['write', 4096, true, 1],
      ['flush', 0, true, 2],
      ['write', 0, false, 3],
    ],
  );
  const firstBytes = (count: number): number[] => [
    trace.imageAfter(count).bytesAt(0, 1)[0]!,
    trace.imageAfter(count).bytesAt(4096, 1)[0]!,
  ];
  assert.equal([0, 1, 2, 3, 4].map(firstBytes), [
    [0, 0],
    [1, 0],
    [1, 2],
    [1, 2],
    [3, 2],
  ]);
  assert.is(trace.imageAfter(4).firstDifference(device.content), -1);
  assert.equal(
    [1, 2, 3, 4].map((count) => trace.durableAt(count).bytesAt(0, 1)[0]),
    [0, 0, 1, 1],
  );
  const seen = new Set<string>();
  for (let seed = 0; seed < 50; seed += 1) {
    for (const count of [1, 2, 3, 4]) {
      const image = trace.powerCutAt(count, new SeededRandom(seed));
      seen.add(`${count}: ${image.bytesAt(0, 1)[0]} ${image.bytesAt(4096, 1)[0]}`);
    }
  }
  assert.equal([...seen].sort(), [
    '1: 0 0',
    '1: 0 2',
    '1: 1 0',
    '1: 1 2',
    '2: 0 2',
    '2: 1 2',
    '3: 1 2',
    '3: 3 2',
    '4: 1 2',
    '4: 3 2',
  ]);
  host.addDisk('/dev/again', { sizeBytes: 1 << 20, image: trace.durableAt(0) });
});

test('files: what has resolved survives; an append under way leaves a prefix', async () => {
  const lengths = new Set<number>();
  for (let seed = 1; seed <= 30; seed += 1) {
    const sim = new Simulator(seed);
    const host = sim.machine('m');
    const process = host.startProcess('p', async () => undefined);
    await process.perform(async (world) => {
      await world.files.makeFolder('/var/pf');
      await world.files.replace('/var/pf/config', new Uint8Array([1]));
      const log = await world.files.openAppend('/var/pf/log');
      await log.append(new Uint8Array(10).fill(1));
      void log.append(new Uint8Array(10).fill(2));
      void log.append(new Uint8Array(10).fill(3));
      void world.files.replace('/var/pf/config', new Uint8Array([2]));
    });
    process.crash();
    const again = host.startProcess('p', async () => undefined);
    await again.perform(async (world) => {
      const log = await world.files.read('/var/pf/log');
      lengths.add(log!.length);
      const whole = [...new Uint8Array(10).fill(1), ...new Uint8Array(10).fill(2), ...new Uint8Array(10).fill(3)];
      assert.equal([...log!], whole.slice(0, log!.length));
      assert.ok(log!.length >= 10 && log!.length <= 20);
      assert.ok([1, 2].includes((await world.files.read('/var/pf/config'))![0]!));
      assert.equal(await world.files.list('/var/pf'), ['config', 'log']);
      assert.is(await world.files.read('/var/pf/none'), null);
    });
  }
  assert.ok(lengths.size > 4, `lengths ${[...lengths].join(' ')}`);
});

test('files: a lock ends with its process; appends and truncations keep their order', async () => {
  const host = new Simulator(9).machine('m');
  const first = host.startProcess('first', async () => undefined);
  const second = host.startProcess('second', async () => undefined);
  await first.perform((world) => world.files.lock('/run/lock'));
  const code = await second.perform((world) => world.files.lock('/run/lock')).catch((error: PfError) => error.code);
  assert.is(code, 'INVALID_STATE');
  first.kill();
  const lock = await second.perform((world) => world.files.lock('/run/lock'));
  await second.perform(() => lock.release());
  const log = await second.perform(async (world) => {
    const file = await world.files.openAppend('/log');
    await Promise.all([file.append(new Uint8Array([1, 2, 3])), file.truncate(1), file.append(new Uint8Array([4]))]);
    assert.is(file.sizeBytes, 2);
    await file.close();
    return world.files.read('/log');
  });
  assert.equal([...log!], [1, 4]);
});

test.run();
