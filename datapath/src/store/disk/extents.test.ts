// The two indexes of extents: which are free, and what backs what.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ExtentMap } from './extent-map.ts';
import { FreeExtents } from './free-extents.ts';
import { TestRandom } from './testing/test-random.ts';

test('extents are handed out upwards, one after the other, and each only once', () => {
  const free = new FreeExtents(70);
  const taken = Array.from({ length: 70 }, () => free.take());
  assert.equal(
    taken,
    Array.from({ length: 70 }, (_, at) => at),
  );
  assert.is(free.take(), -1);
  free.release(33);
  assert.is(free.take(), 33);
  assert.throws(() => (free.release(5), free.release(5)), /it is free/);
});

test('a disk that is used in part stays compact: freed extents are used before new ones', () => {
  const free = new FreeExtents(100_000);
  for (let index = 0; index < 2000; index += 1) free.take();
  let highest = 0;
  for (let round = 0; round < 50_000; round += 1) {
    const taken = free.take();
    highest = Math.max(highest, taken);
    free.release(taken === 0 ? taken : taken - (taken % 2 === 0 && !free.isFree(taken - 1) ? 1 : 0));
  }
  assert.ok(highest < 4096, `extent ${highest} is in use, with 2000 of 100000 taken`);
});

test('a run of extents is found when there is one near, so that large writes stay in one piece', () => {
  const free = new FreeExtents(64);
  for (let index = 0; index < 64; index += 1) free.take();
  for (const hole of [10, 12, 14, 20, 21, 22, 23, 24, 40]) free.release(hole);
  assert.is(free.take(), 10);
  free.preferRun(5);
  assert.equal(
    Array.from({ length: 5 }, () => free.take()),
    [20, 21, 22, 23, 24],
  );
  free.preferRun(5);
  assert.equal(
    Array.from({ length: 4 }, () => free.take()),
    [40, 12, 14, -1],
  );
});

test('the free list agrees with a plain set over a long random run', () => {
  const random = new TestRandom(5);
  const free = new FreeExtents(3000);
  const taken = new Set<number>();
  for (let round = 0; round < 30_000; round += 1) {
    if (random.chance(0.02)) free.preferRun(1 + random.below(16));
    if (random.chance(taken.size > 2500 ? 0.4 : 0.55)) {
      const got = free.take();
      assert.is(taken.has(got), false);
      if (got >= 0) taken.add(got);
    } else if (taken.size > 0) {
      const list = [...taken];
      const gone = list[random.below(list.length)]!;
      taken.delete(gone);
      free.release(gone);
    }
    assert.is(free.count, 3000 - taken.size);
  }
});

test('the map finds, forgets and walks what backs a volume, and drops empty volumes', () => {
  const map = new ExtentMap();
  assert.is(map.find(1, 0), -1);
  map.set(1, 0, 10);
  map.set(1, 5_000_000, 11);
  map.set(2, 0, 12);
  assert.equal([map.find(1, 0), map.find(1, 5_000_000), map.find(2, 0), map.find(2, 1)], [10, 11, 12, -1]);
  assert.is(map.nextBacked(1, 1, 10_000_000), 5_000_000);
  assert.is(map.nextBacked(1, 1, 4_000_000), 4_000_000);
  assert.is(map.nextBacked(3, 1, 4_000_000), 4_000_000);
  map.set(1, 0, 13);
  assert.is(map.find(1, 0), 13);
  assert.is(map.backedExtents(1), 2);
  map.remove(1, 0);
  map.remove(1, 5_000_000);
  map.remove(1, 5_000_000);
  assert.equal(map.volumes(), [2]);
  assert.is(map.find(1, 0), -1);
});

test.run();
