// Range locks against a plain model, and the facts that replication relies on.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { RangeLock, RangeLocks } from './range-locks.ts';

class Holder {
  readonly lock = new RangeLock(this);
  readonly name: string;
  readonly granted: string[];
  start = 0;
  end = 0;
  isExclusive = false;
  isHeld = false;

  constructor(name: string, granted: string[]) {
    this.name = name;
    this.granted = granted;
  }

  take(locks: RangeLocks, offset: number, length: number, isExclusive: boolean): boolean {
    this.start = Math.floor(offset / 4096);
    this.end = Math.ceil((offset + length) / 4096);
    this.isExclusive = isExclusive;
    this.isHeld = locks.acquire(this.lock, offset, length, isExclusive);
    return this.isHeld;
  }

  lockGranted(): void {
    this.isHeld = true;
    this.granted.push(this.name);
  }
}

function holders(...names: string[]): { granted: string[]; each: Holder[] } {
  const granted: string[] = [];
  return { granted, each: names.map((name) => new Holder(name, granted)) };
}

test('writes that share a block of 4 KiB wait for each other, in the order in which they came', () => {
  const locks = new RangeLocks();
  const { granted, each } = holders('a', 'b', 'c');
  assert.is(each[0]!.take(locks, 0, 512, true), true);
  assert.is(each[1]!.take(locks, 512, 512, true), false);
  assert.is(each[2]!.take(locks, 3584, 512, true), false);
  locks.release(each[0]!.lock);
  assert.equal(granted, ['b']);
  locks.release(each[1]!.lock);
  assert.equal(granted, ['b', 'c']);
  locks.release(each[2]!.lock);
  assert.is(locks.count, 0);
});

test('neighbouring blocks do not wait', () => {
  const locks = new RangeLocks();
  const { each } = holders('a', 'b');
  assert.is(each[0]!.take(locks, 0, 4096, true), true);
  assert.is(each[1]!.take(locks, 4096, 4096, true), true);
});

test('reads share, and wait for a write that came before them', () => {
  const locks = new RangeLocks();
  const { granted, each } = holders('read 1', 'read 2', 'write', 'read 3');
  assert.is(each[0]!.take(locks, 0, 8192, false), true);
  assert.is(each[1]!.take(locks, 4096, 8192, false), true);
  assert.is(each[2]!.take(locks, 4096, 4096, true), false);
  assert.is(each[3]!.take(locks, 4096, 4096, false), false, 'a read does not overtake a waiting write');
  locks.release(each[0]!.lock);
  assert.equal(granted, []);
  locks.release(each[1]!.lock);
  assert.equal(granted, ['write']);
  locks.release(each[2]!.lock);
  assert.equal(granted, ['write', 'read 3']);
});

test('a barrier over the whole shard waits for everything earlier and holds back everything later', () => {
  const locks = new RangeLocks();
  const { granted, each } = holders('early', 'barrier', 'late');
  each[0]!.take(locks, 1 << 30, 4096, false);
  assert.is(each[1]!.take(locks, 0, 2 ** 36, true), false);
  assert.is(each[2]!.take(locks, 0, 4096, false), false);
  locks.release(each[0]!.lock);
  assert.equal(granted, ['barrier']);
  locks.release(each[1]!.lock);
  assert.equal(granted, ['barrier', 'late']);
});

test('a grant that releases and takes again inside the callback disturbs nobody', () => {
  const locks = new RangeLocks();
  const { granted, each } = holders('first', 'after');
  const eager = {
    lock: null as unknown as RangeLock,
    lockGranted(): void {
      granted.push('eager');
      locks.release(this.lock);
      assert.is(locks.acquire(this.lock, 0, 4096, true), false);
    },
  };
  eager.lock = new RangeLock(eager);
  each[0]!.take(locks, 0, 4096, true);
  locks.acquire(eager.lock, 0, 4096, true);
  each[1]!.take(locks, 0, 4096, true);
  locks.release(each[0]!.lock);
  assert.equal(granted, ['eager', 'after']);
});

test('random use agrees with a model that scans the queue', () => {
  let state = 12345;
  const below = (n: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % n;
  };
  const locks = new RangeLocks();
  const queue: Holder[] = [];
  for (let step = 0; step < 20_000; step += 1) {
    const held = queue.filter((each) => each.isHeld);
    if (queue.length > 90 || (held.length > 0 && below(2) === 0)) {
      const victim = held[below(held.length)]!;
      queue.splice(queue.indexOf(victim), 1);
      victim.isHeld = false;
      locks.release(victim.lock);
    } else {
      const holder = new Holder(`${step}`, []);
      queue.push(holder);
      const isWide = below(20) === 0;
      const length = isWide ? 4096 * 400 : 512 * (1 + below(24));
      // Some lie where the counters of others are, and far apart.
      const offset = below(64) * 4096 + below(8) * 512 + below(2) * 2048 * 65536;
      holder.take(locks, offset, length, below(3) === 0);
    }
    for (let at = 0; at < queue.length; at += 1) {
      const one = queue[at]!;
      const isBlocked = queue
        .slice(0, at)
        .some((other) => other.start < one.end && other.end > one.start && (other.isExclusive || one.isExclusive));
      assert.is(one.isHeld, !isBlocked, `step ${step}: lock ${one.name}`);
    }
  }
});

test.run();
