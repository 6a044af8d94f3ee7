// The queue of a ublk device on the ring. Each tag has one operation, whose command is out while the kernel has nothing for it; a commit
// answers one request and asks for the next, so in steady state a request costs one submission, two for a write.
//
// Invariant: memory of a read's answer is copied when its commit is submitted. So a turn with commits ends with a submission of its own, and
// only then is the memory given back.
import { assert } from '../../base/assert.ts';
import type { Turn, TurnTask } from '../clock.ts';
import type { UblkHandler, UblkQueue } from '../ublk.ts';
import type { ArenaMapping } from './arena-mapping.ts';
import type { NativeUblk, NativeUblkDevice } from './native-addon.ts';
import type { Ring, RingOperation } from './ring.ts';

const FETCH = 0xc0107520;
const COMMIT_AND_FETCH = 0xc0107521;
const NEED_GET_DATA = 0xc0107522;

export interface UblkSurroundings extends ArenaMapping {
  readonly ring: Ring;
  readonly addon: NativeUblk;
  readonly turn: Turn;
}

export class RingUblkQueue implements UblkQueue, TurnTask {
  readonly descriptors: Uint32Array;
  readonly #surroundings: UblkSurroundings;
  readonly #device: NativeUblkDevice;
  readonly #operations: TagOperation[] = [];
  #handler: UblkHandler | null = null;
  /** Commands that the kernel has. */
  #out = 0;
  #isTurnEndWanted = false;
  #isClosed = false;

  constructor(device: NativeUblkDevice, surroundings: UblkSurroundings) {
    this.#device = device;
    this.#surroundings = surroundings;
    this.descriptors = new Uint32Array(device.descriptors);
  }

  start(handler: UblkHandler): void {
    this.#handler = handler;
  }

  fetch(tag: number): void {
    while (this.#operations.length <= tag)
      this.#operations.push(new TagOperation(this, this.#operations.length, this.#surroundings.ring));
    this.#push(FETCH, tag, 0, 0, 0);
  }

  getData(tag: number, memory: number): void {
    const { addressLow, addressHigh } = this.#surroundings;
    this.#push(NEED_GET_DATA, tag, 0, addressLow + memory, addressHigh);
  }

  commit(tag: number, result: number, memory: number): void {
    const { addressLow, addressHigh, turn } = this.#surroundings;
    this.#push(COMMIT_AND_FETCH, tag, result, addressLow + memory, addressHigh);
    if (this.#isTurnEndWanted) return;
    this.#isTurnEndWanted = true;
    turn.atEnd(this);
  }

  close(): void {
    if (this.#isClosed) return;
    assert(this.#out === 0, `a ublk queue is closed while the kernel has ${this.#out} of its commands`);
    this.#isClosed = true;
    for (const operation of this.#operations) this.#surroundings.ring.unregister(operation.index);
    this.#surroundings.addon.closeUblk(this.#device.handle);
  }

  runAtTurnEnd(): void {
    this.#isTurnEndWanted = false;
    if (this.#surroundings.ring.submit()) return this.#handler!.commitsTaken();
    // The kernel is short of something: once more after the next events.
    this.#isTurnEndWanted = true;
    this.#surroundings.turn.atEnd(this);
  }

  done(tag: number, result: number): void {
    this.#out -= 1;
    this.#handler!.commandDone(tag, result);
  }

  #push(operation: number, tag: number, result: number, addressLow: number, addressHigh: number): void {
    this.#out += 1;
    const { index } = this.#operations[tag]!;
    this.#surroundings.ring.pushCommand(this.#device.fd, operation, tag << 16, result, addressLow, addressHigh, index);
  }
}

class TagOperation implements RingOperation {
  readonly index: number;
  readonly #queue: RingUblkQueue;
  readonly #tag: number;

  constructor(queue: RingUblkQueue, tag: number, ring: Ring) {
    this.#queue = queue;
    this.#tag = tag;
    this.index = ring.register(this);
  }

  ringDone(result: number): void {
    this.#queue.done(this.#tag, result);
  }
}
