// Locks on byte ranges of one shard, in blocks of 4 KiB: shared for reads, exclusive for writes, first come first served.
// A primary's operations hold them from before they touch the disk until every replica has answered, so that overlapping
// writes reach all replicas in one order and no read returns what may still be lost. Also the barrier: a lock over the whole
// shard is granted when everything that came earlier has ended.
// A table of counters by 64 KiB (modulo its size) says quickly that nothing can conflict; otherwise all locks are looked at.
// Invariants: a lock waits for exactly the earlier ones that conflict with it (`blockers`); nothing is allocated per lock
// once the arrays have their size; lockGranted is never called inside acquire().
import { assert } from '../base/assert.ts';
import { BLOCK_BYTES, alignDown, alignUp } from '../base/sizes.ts';

const GROUP_BYTES = 65536;
const GROUPS = 2048;
/** Longer ranges are counted as a whole: while one exists, everybody looks at all locks. */
const MAX_COUNTED_GROUPS = 17;

export interface LockOwner {
  lockGranted(lock: RangeLock): void;
}

/** Belongs to one operation, which may use it again after release(). */
export class RangeLock {
  readonly owner: LockOwner;
  /** Earlier conflicting locks that still exist; 0 = held. */
  blockers = 0;
  /** Index in the table, -1 when neither held nor waiting. */
  index = -1;
  order = 0;
  nextReady: RangeLock | null = null;

  constructor(owner: LockOwner) {
    this.owner = owner;
  }
}

export class RangeLocks {
  #capacity = 64;
  #starts = new Float64Array(this.#capacity);
  #ends = new Float64Array(this.#capacity);
  #isExclusive = new Uint8Array(this.#capacity);
  #locks: (RangeLock | null)[] = new Array<RangeLock | null>(this.#capacity).fill(null);
  readonly #inGroup = new Uint32Array(GROUPS);
  #wideCount = 0;
  #count = 0;
  #waiting = 0;
  #nextOrder = 1;

  /** Held and waiting. */
  get count(): number {
    return this.#count;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** True: held now. False: owner.lockGranted(lock) follows when it is. */
  acquire(lock: RangeLock, offset: number, length: number, isExclusive: boolean): boolean {
    assert(lock.index < 0, 'a range lock was taken twice');
    const start = alignDown(offset, BLOCK_BYTES);
    const end = alignUp(offset + length, BLOCK_BYTES);
    const exclusive = isExclusive ? 1 : 0;
    const blockers = this.#enter(start, end) ? this.#conflicts(start, end, exclusive) : 0;
    if (this.#count === this.#capacity) this.#grow();
    const index = this.#count++;
    this.#starts[index] = start;
    this.#ends[index] = end;
    this.#isExclusive[index] = exclusive;
    this.#locks[index] = lock;
    lock.index = index;
    lock.order = this.#nextOrder++;
    lock.blockers = blockers;
    if (blockers > 0) this.#waiting += 1;
    return blockers === 0;
  }

  release(lock: RangeLock): void {
    const index = lock.index;
    assert(index >= 0 && lock.blockers === 0, 'a range lock was released that is not held');
    const start = this.#starts[index]!;
    const end = this.#ends[index]!;
    const exclusive = this.#isExclusive[index]!;
    this.#remove(index);
    this.#leave(start, end);
    lock.index = -1;
    if (this.#waiting > 0) this.#wake(start, end, exclusive, lock.order);
  }

  /** Counts the range in; true when something that exists may overlap it. */
  #enter(start: number, end: number): boolean {
    const first = Math.floor(start / GROUP_BYTES);
    const last = Math.floor((end - 1) / GROUP_BYTES);
    if (last - first >= MAX_COUNTED_GROUPS) {
      this.#wideCount += 1;
      return true;
    }
    let mayOverlap = this.#wideCount > 0;
    for (let group = first; group <= last; group += 1) {
      const counter = group % GROUPS;
      if (this.#inGroup[counter]! > 0) mayOverlap = true;
      this.#inGroup[counter]! += 1;
    }
    return mayOverlap;
  }

  #leave(start: number, end: number): void {
    const first = Math.floor(start / GROUP_BYTES);
    const last = Math.floor((end - 1) / GROUP_BYTES);
    if (last - first >= MAX_COUNTED_GROUPS) this.#wideCount -= 1;
    else for (let group = first; group <= last; group += 1) this.#inGroup[group % GROUPS]! -= 1;
  }

  #conflicts(start: number, end: number, exclusive: number): number {
    let conflicts = 0;
    for (let at = 0; at < this.#count; at += 1) {
      if (this.#starts[at]! < end && this.#ends[at]! > start && (exclusive | this.#isExclusive[at]!) !== 0) conflicts += 1;
    }
    return conflicts;
  }

  #wake(start: number, end: number, exclusive: number, order: number): void {
    let first: RangeLock | null = null;
    let last: RangeLock | null = null;
    for (let at = 0; at < this.#count; at += 1) {
      const waiter = this.#locks[at]!;
      if (waiter.blockers === 0 || waiter.order < order) continue;
      if (this.#starts[at]! >= end || this.#ends[at]! <= start || (exclusive | this.#isExclusive[at]!) === 0) continue;
      waiter.blockers -= 1;
      if (waiter.blockers > 0) continue;
      this.#waiting -= 1;
      if (last === null) first = waiter;
      else last.nextReady = waiter;
      last = waiter;
    }
    while (first !== null) {
      const granted: RangeLock = first;
      first = granted.nextReady;
      granted.nextReady = null;
      granted.owner.lockGranted(granted);
    }
  }

  #remove(index: number): void {
    const last = --this.#count;
    if (index !== last) {
      this.#starts[index] = this.#starts[last]!;
      this.#ends[index] = this.#ends[last]!;
      this.#isExclusive[index] = this.#isExclusive[last]!;
      const moved = this.#locks[last]!;
      this.#locks[index] = moved;
      moved.index = index;
    }
    this.#locks[last] = null;
  }

  #grow(): void {
    const capacity = this.#capacity * 2;
    const starts = new Float64Array(capacity);
    const ends = new Float64Array(capacity);
    const isExclusive = new Uint8Array(capacity);
    starts.set(this.#starts);
    ends.set(this.#ends);
    isExclusive.set(this.#isExclusive);
    for (let at = this.#capacity; at < capacity; at += 1) this.#locks.push(null);
    this.#starts = starts;
    this.#ends = ends;
    this.#isExclusive = isExclusive;
    this.#capacity = capacity;
  }
}
