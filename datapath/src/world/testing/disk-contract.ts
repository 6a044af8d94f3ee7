// What every disk port does, on a file of 4 MiB.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../base/sizes.ts';
import { EINVAL } from '../completion.ts';
import { IoVector, type Disk } from '../disk.ts';
import type { World } from '../world.ts';
import { answer, codeOf, fillPattern, findMismatch, inWorld, type NewPath, type OpenWorld } from './contract-world.ts';

const SIZE = 4 * MiB;

export function diskContract(name: string, openWorld: OpenWorld, newPath: NewPath): void {
  const test = suite(`disks: ${name}`);
  const check = (fact: string, body: (world: World, path: string) => Promise<void>): void => {
    test(
      fact,
      inWorld(openWorld, (world) => body(world, newPath('disk'))),
    );
  };
  check('what was written is read back, wherever and in whatever size', writesAreReadBack);
  check('a new disk reads as zeros and has its size', newDiskIsZero);
  check('durable writes and flushes are answered with 0', durableAndFlush);
  check('a vector of 512 pieces is one contiguous write', vectorOf512);
  check('misaligned and out-of-range requests are refused with EINVAL, later and without effect', refusals);
  check('a second opener of a locked disk fails, until the first has closed it', exclusiveLock);
  check('a read-only disk reads but refuses writes', readOnly);
  check('discard is answered with 0, and reads as zeros where the disk says so', discards);
  check('a hundred requests at once are all answered, and inFlight counts them', manyAtOnce);
  check('close() waits for what is in flight and may be called twice', closeWaits);
  check('a disk that is reopened has its content; one that is opened larger grows', reopening);
  check('errors of open() say what is wrong', openErrors);
  test.run();
}

async function openDisk(world: World, path: string): Promise<Disk> {
  return world.disks.open(path, { createSizeBytes: SIZE });
}

async function writesAreReadBack(world: World, path: string): Promise<void> {
  const disk = await openDisk(world, path);
  const unit = disk.blockSizeBytes;
  const slot = world.memory.acquireSlot(MiB);
  for (const [offset, length] of [
    [0, unit],
    [4096, 4096],
    [8192, 65_536],
    [MiB, MiB],
    [SIZE - unit, unit],
    [12_288, 8192],
  ] as const) {
    fillPattern(world, slot, length, offset);
    assert.is(await answer((done) => disk.write(offset, slot, length, false, done)), 0);
    world.memory.bytes.fill(0, slot, slot + length);
    assert.is(await answer((done) => disk.read(offset, slot, length, done)), 0);
    assert.is(findMismatch(world, slot, length, offset), -1, `${length} bytes at ${offset}`);
  }
  await disk.close();
}

async function newDiskIsZero(world: World, path: string): Promise<void> {
  const disk = await openDisk(world, path);
  assert.is(disk.sizeBytes, SIZE);
  assert.is(disk.path, path);
  assert.ok(disk.blockSizeBytes === 512 || disk.blockSizeBytes === 4096);
  const slot = world.memory.acquireSlot(65_536);
  world.memory.bytes.fill(0xff, slot, slot + 65_536);
  assert.is(await answer((done) => disk.read(SIZE - 65_536, slot, 65_536, done)), 0);
  assert.ok(world.memory.bytes.subarray(slot, slot + 65_536).every((byte) => byte === 0));
  await disk.close();
}

async function durableAndFlush(world: World, path: string): Promise<void> {
  const disk = await openDisk(world, path);
  const slot = world.memory.acquireSlot(8192);
  fillPattern(world, slot, 8192, 1);
  assert.is(await answer((done) => disk.write(8192, slot, 8192, true, done)), 0);
  assert.is(await answer((done) => disk.write(16_384, slot, 8192, false, done)), 0);
  assert.is(await answer((done) => disk.flush(done)), 0);
  world.memory.bytes.fill(0, slot, slot + 8192);
  assert.is(await answer((done) => disk.read(8192, slot, 8192, done)), 0);
  assert.is(findMismatch(world, slot, 8192, 1), -1);
  await disk.close();
}

async function vectorOf512(world: World, path: string): Promise<void> {
  const disk = await openDisk(world, path);
  const piece = disk.blockSizeBytes;
  const vector = new IoVector();
  const pages = world.memory.reserve(2 * 512 * 4096);
  for (let index = 0; index < 512; index += 1) {
    const at = pages + ((index * 37) % 512) * 8192;
    fillPattern(world, at, piece, 4096 + index * piece);
    assert.ok(vector.push(at, piece));
  }
  assert.not.ok(vector.push(pages, piece), 'a 513th piece does not fit');
  const written = answer((done) => disk.writeVector(4096, vector, true, done));
  vector.clear();
  assert.is(await written, 0);
  const slot = world.memory.acquireSlot(MiB);
  for (let at = 0; at < 512 * piece; at += MiB / 4) {
    const length = Math.min(MiB / 4, 512 * piece - at);
    assert.is(await answer((done) => disk.read(4096 + at, slot, length, done)), 0);
    assert.is(findMismatch(world, slot, length, 4096 + at), -1);
  }
  await disk.close();
}

async function refusals(world: World, path: string): Promise<void> {
  const disk = await openDisk(world, path);
  const slot = world.memory.acquireSlot(8192);
  const unit = disk.blockSizeBytes;
  fillPattern(world, slot, 8192, 0);
  const wrong: [string, number, number, number][] = [
    ['disk offset', 100, slot, unit],
    ['length', 0, slot, unit - 1],
    ['length 0', 0, slot, 0],
    ['memory', 0, slot + 8, unit],
    ['past the end', SIZE, slot, unit],
    ['over the end', SIZE - unit, slot, 2 * unit],
    ['negative', -unit, slot, unit],
  ];
  for (const [what, offset, memory, length] of wrong) {
    for (const start of [
      (done: { complete(result: number): void }) => disk.read(offset, memory, length, done),
      (done: { complete(result: number): void }) => disk.write(offset, memory, length, false, done),
    ]) {
      let isInside = true;
      const result = await answer((done) => {
        start({ complete: (errno) => done.complete(isInside ? -1 : errno) });
        isInside = false;
      });
      assert.is(result, EINVAL, `wrong ${what}`);
    }
  }
  const vector = new IoVector();
  vector.push(slot, unit);
  vector.push(slot + 8, unit);
  assert.is(await answer((done) => disk.writeVector(0, vector, false, done)), EINVAL);
  assert.is(await answer((done) => disk.discard(100, unit, done)), EINVAL);
  assert.is(await answer((done) => disk.read(0, slot, 8192, done)), 0);
  assert.ok(
    world.memory.bytes.subarray(slot, slot + 8192).every((byte) => byte === 0),
    'nothing was written',
  );
  assert.is(disk.inFlight, 0);
  await disk.close();
}

async function exclusiveLock(world: World, path: string): Promise<void> {
  const disk = await openDisk(world, path);
  assert.is(await codeOf(world.disks.open(path, {})), 'INVALID_STATE');
  const reader = await world.disks.open(path, { isReadOnly: true });
  await reader.close();
  await disk.close();
  const again = await world.disks.open(path, {});
  await again.close();
}

async function readOnly(world: World, path: string): Promise<void> {
  await (await openDisk(world, path)).close();
  const disk = await world.disks.open(path, { isReadOnly: true });
  const slot = world.memory.acquireSlot(4096);
  assert.is(await answer((done) => disk.read(0, slot, 4096, done)), 0);
  assert.is.not(await answer((done) => disk.write(0, slot, 4096, false, done)), 0);
  await disk.close();
}

async function discards(world: World, path: string): Promise<void> {
  const disk = await openDisk(world, path);
  const slot = world.memory.acquireSlot(65_536);
  fillPattern(world, slot, 65_536, 0);
  assert.is(await answer((done) => disk.write(65_536, slot, 65_536, true, done)), 0);
  assert.is(await answer((done) => disk.discard(65_536, 32_768, done)), 0);
  assert.is(await answer((done) => disk.read(65_536, slot, 65_536, done)), 0);
  if (disk.discardReadsZeros === true) assert.ok(world.memory.bytes.subarray(slot, slot + 32_768).every((byte) => byte === 0));
  assert.is(findMismatch(world, slot + 32_768, 32_768, 32_768), -1, 'the other half stays');
  await disk.close();
}

async function manyAtOnce(world: World, path: string): Promise<void> {
  const disk = await openDisk(world, path);
  const slots = Array.from({ length: 100 }, () => world.memory.acquireSlot(4096));
  const writes = slots.map((slot, index) => {
    fillPattern(world, slot, 4096, index * 4096);
    return answer((done) => disk.write(index * 8192, slot, 4096, index % 3 === 0, done));
  });
  assert.is(disk.inFlight, 100);
  assert.ok((await Promise.all(writes)).every((result) => result === 0));
  for (const slot of slots) world.memory.bytes.fill(0, slot, slot + 4096);
  await Promise.all(slots.map((slot, index) => answer((done) => disk.read(index * 8192, slot, 4096, done))));
  slots.forEach((slot, index) => assert.is(findMismatch(world, slot, 4096, index * 4096), -1));
  assert.is(disk.inFlight, 0);
  await disk.close();
}

async function closeWaits(world: World, path: string): Promise<void> {
  const disk = await openDisk(world, path);
  const slot = world.memory.acquireSlot(MiB);
  const order: string[] = [];
  for (let index = 0; index < 32; index += 1)
    disk.write((index % 4) * MiB, slot, MiB, true, { complete: (result) => order.push(`written ${result}`) });
  await Promise.all([disk.close().then(() => order.push('closed')), disk.close()]);
  assert.equal(order, [...Array<string>(32).fill('written 0'), 'closed']);
  assert.is.not(await answer((done) => disk.read(0, slot, 4096, done)), 0, 'a closed disk answers with an error');
}

async function reopening(world: World, path: string): Promise<void> {
  const disk = await openDisk(world, path);
  const slot = world.memory.acquireSlot(4096);
  fillPattern(world, slot, 4096, 7);
  assert.is(await answer((done) => disk.write(4096, slot, 4096, true, done)), 0);
  await disk.close();
  for (const createSizeBytes of [2 * SIZE, SIZE / 2]) {
    const same = await world.disks.open(path, { createSizeBytes });
    assert.is(same.sizeBytes, SIZE, 'a disk that exists is neither grown nor cut');
    world.memory.bytes.fill(0, slot, slot + 4096);
    assert.is(await answer((done) => same.read(4096, slot, 4096, done)), 0);
    assert.is(findMismatch(world, slot, 4096, 7), -1);
    await same.close();
  }
}

async function openErrors(world: World, path: string): Promise<void> {
  assert.is(await codeOf(world.disks.open(`${path}-missing`, {})), 'NOT_FOUND');
}
