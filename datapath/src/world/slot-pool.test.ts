import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { KiB, MiB } from '../base/sizes.ts';
import { SLOT_HEADROOM_BYTES } from './memory.ts';
import { CHUNK_BYTES, SLOT_CLASSES, SlotPool, slotClassOf } from './slot-pool.ts';

/** A pool over `count` chunks, from the top down as an arena hands them out. */
function poolOf(count: number): SlotPool {
  let left = count;
  return new SlotPool(() => (left-- > 0 ? 4096 + left * CHUNK_BYTES : 0));
}

test('the class of a size is the smallest that holds it', () => {
  const sizes = [1, 4096, 4097, 8192, 8193, 64 * KiB, 128 * KiB + 1, 256 * KiB, 256 * KiB + 1, MiB];
  assert.equal(
    sizes.map((size) => SLOT_CLASSES[slotClassOf(size)]! / KiB),
    [4, 4, 8, 8, 16, 64, 256, 256, 1024, 1024],
  );
});

test('a pool without chunks has no slot, and says so', () => {
  const pool = poolOf(0);
  assert.is(pool.acquire(0), 0);
  assert.not.ok(pool.hasFree(0));
});

test('a chunk whose slots are all free serves any class', () => {
  const pool = poolOf(1);
  const small = Array.from({ length: 128 }, () => pool.acquire(0));
  assert.ok(small.every((offset) => offset > 0));
  assert.is(pool.acquire(0), 0);
  assert.is(pool.acquire(7), 0);
  for (const offset of small) pool.release(offset);
  assert.ok(pool.acquire(7) > 0);
  assert.is(pool.acquire(0), 0);
});

test('a slot that was retained is free only when every user has released it', () => {
  const pool = poolOf(1);
  const offset = pool.acquire(7);
  assert.is(pool.retain(offset + 5000), offset);
  assert.not.ok(pool.release(offset));
  assert.not.ok(pool.hasFree(7));
  assert.ok(pool.release(offset));
  assert.ok(pool.hasFree(7));
  assert.throws(() => pool.retain(offset), /free/);
});

test('offsets that are no slot cannot be released', () => {
  const pool = poolOf(1);
  const offset = pool.acquire(2);
  assert.throws(() => pool.release(offset + 4096), /not taken/);
  assert.throws(() => pool.release(100 * MiB), /no slot lies there/);
  pool.release(offset);
  assert.throws(() => pool.release(offset), /not taken/);
});

test('slots never overlap and all come back, for random taking and giving', () => {
  let seed = 7;
  const below = (n: number): number => ((seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) >>> 8) % n;
  const pool = poolOf(6);
  const pages = new Set<number>();
  const taken: { offset: number; classIndex: number }[] = [];
  const pagesOf = (offset: number, classIndex: number): number[] => {
    const first = (offset - SLOT_HEADROOM_BYTES) / 4096;
    return Array.from({ length: (SLOT_CLASSES[classIndex]! + SLOT_HEADROOM_BYTES) / 4096 }, (_, index) => first + index);
  };
  for (let step = 0; step < 20_000; step += 1) {
    const isGiving = taken.length > 0 && below(100) < (Math.floor(step / 2000) % 2 === 0 ? 40 : 60);
    if (isGiving) {
      const { offset, classIndex } = taken.splice(below(taken.length), 1)[0]!;
      for (const page of pagesOf(offset, classIndex)) pages.delete(page);
      assert.ok(pool.release(offset));
      continue;
    }
    const classIndex = below(SLOT_CLASSES.length);
    const offset = pool.acquire(classIndex);
    if (offset === 0) continue;
    for (const page of pagesOf(offset, classIndex)) {
      assert.not.ok(pages.has(page), `page ${page} is in two slots`);
      pages.add(page);
    }
    taken.push({ offset, classIndex });
  }
  assert.is(pool.takenSlots, taken.length);
  for (const { offset } of taken) pool.release(offset);
  for (let chunk = 0; chunk < 6; chunk += 1) assert.ok(pool.acquire(7) > 0);
});

test.run();
