// What every I/O memory does: alignment, slots that never overlap, waiters in order, checksums.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { crc32c } from '../../base/crc32c.ts';
import { KiB, MiB } from '../../base/sizes.ts';
import { MAX_SLOT_BYTES, SLOT_HEADROOM_BYTES } from '../memory.ts';
import type { World } from '../world.ts';
import { eventually, inWorld, type OpenWorld } from './contract-world.ts';

export function memoryContract(name: string, openWorld: OpenWorld): void {
  const test = suite(`memory: ${name}`);
  test('reserve() is aligned to 4096, never 0, and reuses what was released', inWorld(openWorld, reserving));
  test('reserve() of more than there is throws NO_SPACE', inWorld(openWorld, exhaustedReserve));
  test('slots of all sizes are aligned and none overlaps another or its headroom', inWorld(openWorld, slotsDoNotOverlap));
  test('memory given back in one size serves other sizes', inWorld(openWorld, sizesShareMemory));
  test(
    'when slots run out acquireSlot answers 0, and waiters are called first come, first served',
    inWorld(openWorld, waitersAreServedInOrder),
  );
  test('a slot released twice is a bug', inWorld(openWorld, doubleRelease));
  test('crc32c has the published values', inWorld(openWorld, knownChecksums));
  test('crc32c equals the portable one for all lengths, alignments and seeds', inWorld(openWorld, equalChecksums));
  test.run();
}

async function reserving({ memory }: World): Promise<void> {
  const first = memory.reserve(100);
  const second = memory.reserve(5000);
  assert.ok(first > 0 && first % 4096 === 0);
  assert.ok(second % 4096 === 0 && Math.abs(second - first) >= 4096);
  memory.release(second, 5000);
  assert.is(memory.reserve(5000), second);
}

async function exhaustedReserve({ memory }: World): Promise<void> {
  assert.throws(
    () => memory.reserve(memory.sizeBytes),
    (error: { code?: string }) => error.code === 'NO_SPACE',
  );
}

async function slotsDoNotOverlap({ memory }: World): Promise<void> {
  const taken: { start: number; end: number }[] = [];
  const sizes = [
    1,
    512,
    4096,
    4097,
    8192,
    16 * KiB,
    20_000,
    32 * KiB,
    64 * KiB,
    128 * KiB,
    200_000,
    256 * KiB,
    512 * KiB,
    MAX_SLOT_BYTES,
  ];
  for (let round = 0; round < 3; round += 1) {
    for (const size of sizes) {
      const offset = memory.acquireSlot(size);
      assert.ok(offset > 0, `a slot of ${size} bytes`);
      assert.is(offset % 4096, 0);
      taken.push({ start: offset - SLOT_HEADROOM_BYTES, end: offset + size });
    }
  }
  const reserved = memory.reserve(MiB);
  taken.push({ start: reserved, end: reserved + MiB });
  taken.sort((a, b) => a.start - b.start);
  assert.ok(taken[0]!.start > 0 && taken.at(-1)!.end <= memory.sizeBytes);
  for (let at = 1; at < taken.length; at += 1)
    assert.ok(taken[at - 1]!.end <= taken[at]!.start, `slot ${at} overlaps the one before`);
}

async function sizesShareMemory({ memory }: World): Promise<void> {
  const large = takeAll(memory, MAX_SLOT_BYTES);
  assert.is(memory.acquireSlot(4096), 0, 'all memory is in large slots');
  for (const offset of large) memory.releaseSlot(offset);
  const small = takeAll(memory, 4096);
  assert.ok(small.length >= large.length * 100, `${small.length} small slots fit where ${large.length} large ones did`);
  for (const offset of small) memory.releaseSlot(offset);
  assert.is(takeAll(memory, MAX_SLOT_BYTES).length, large.length);
}

function takeAll(memory: World['memory'], sizeBytes: number): number[] {
  const taken: number[] = [];
  for (let offset = memory.acquireSlot(sizeBytes); offset !== 0; offset = memory.acquireSlot(sizeBytes)) taken.push(offset);
  return taken;
}

async function waitersAreServedInOrder(world: World): Promise<void> {
  const { memory } = world;
  const taken = takeAll(memory, MAX_SLOT_BYTES);
  const order: string[] = [];
  for (const name of ['first', 'second', 'third']) {
    memory.whenSlotFree(MAX_SLOT_BYTES, {
      complete(result) {
        assert.is(result, 0);
        const offset = memory.acquireSlot(MAX_SLOT_BYTES);
        order.push(offset === 0 ? `${name} found none` : name);
      },
    });
  }
  memory.releaseSlot(taken.pop()!);
  assert.equal(order, [], 'waiters are not called from within releaseSlot');
  assert.is(memory.acquireSlot(MAX_SLOT_BYTES), 0, 'a newcomer does not overtake');
  await eventually(world, 'one waiter has been served', () => order.length === 1);
  memory.releaseSlot(taken.pop()!);
  memory.releaseSlot(taken.pop()!);
  await eventually(world, 'all waiters have been served', () => order.length === 3);
  assert.equal(order, ['first', 'second', 'third']);
}

async function doubleRelease({ memory }: World): Promise<void> {
  const offset = memory.acquireSlot(4096);
  memory.releaseSlot(offset);
  assert.throws(() => memory.releaseSlot(offset), /not taken/);
}

async function knownChecksums({ memory }: World): Promise<void> {
  const at = memory.reserve(4096);
  memory.bytes.set(new TextEncoder().encode('123456789'), at);
  assert.is(memory.crc32c(at, 9, 0), 0xe3069283);
  assert.is(memory.crc32c(at + 4, 5, memory.crc32c(at, 4, 0)), 0xe3069283, 'continued');
  assert.is(memory.crc32c(at, 0, 0x1234), 0x1234, 'nothing changes nothing');
  memory.bytes.fill(0, at, at + 32);
  assert.is(memory.crc32c(at, 32, 0), 0x8a9136aa, 'RFC 3720, 32 zero bytes');
  memory.bytes.fill(0xff, at, at + 32);
  assert.is(memory.crc32c(at, 32, 0), 0x62a8ab43, 'RFC 3720, 32 bytes of ones');
  for (let byte = 0; byte < 32; byte += 1) memory.bytes[at + byte] = byte;
  assert.is(memory.crc32c(at, 32, 0), 0x46dd794e, 'RFC 3720, 32 ascending bytes');
}

async function equalChecksums({ memory, random }: World): Promise<void> {
  const at = memory.acquireSlot(256 * KiB);
  for (let byte = 0; byte < 256 * KiB; byte += 1) memory.bytes[at + byte] = random.u32();
  const lengths = [...Array(64).keys(), 255, 256, 767, 768, 769, 1360, 4079, 4080, 4081, 4096, 5000, 65_536, 131_072];
  for (let round = 0; round < 200; round += 1) lengths.push(random.below(9000));
  for (const length of lengths) {
    const start = at + random.below(64);
    const seed = random.u32();
    assert.is(
      memory.crc32c(start, length, seed),
      crc32c(memory.bytes, start, length, seed),
      `${length} bytes at ${start}, seed ${seed}`,
    );
  }
}
