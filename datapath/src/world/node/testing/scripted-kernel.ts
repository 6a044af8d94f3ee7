// The native addon with no kernel behind it: a Ring over it writes its entries where the test reads them, and gets the completions
// that the test chooses. Used by tests of what is built on Ring; one kernel at a time, because a thread has one ring.
import { crc32c } from '../../../base/crc32c.ts';
import { MiB } from '../../../base/sizes.ts';
import { Arena } from '../../arena.ts';
import { ECANCELED } from '../../completion.ts';
import { TurnQueue } from '../../turn-queue.ts';
import type { ArenaMapping } from '../arena-mapping.ts';
import type { NativeAddon, NativeRing } from '../native-addon.ts';
import { Ring } from '../ring.ts';

const ENTRY_WORDS = 16;
const COMPLETION_WORDS = 4;
/** Word indices of the control block (native/ring.c). */
const SQ_TAIL = 0;
const SQ_HEAD = 1;
const CQ_HEAD = 2;
const CQ_TAIL = 3;
const HEEDED = 9;

/** A submission entry as the kernel would read it. */
export interface Entry {
  readonly opcode: number;
  readonly fd: number;
  /** Of the file. */
  readonly offset: number;
  /** Arena offset that the address stands for, or the number that stands in its place. */
  readonly memory: number;
  readonly length: number;
  readonly flags: number;
  readonly isQuiet: boolean;
  /** Names the operation in its completion. */
  readonly index: number;
}

export class ScriptedKernel implements NativeAddon {
  readonly turn = new TurnQueue(() => this.ring.wantTurn());
  readonly mapping: ArenaMapping;
  readonly ring: Ring;
  /** shutdownSocket() and closeDescriptor(), in order. */
  readonly calls: string[] = [];
  #onTurn: () => void = () => {};
  #onHeld: () => void = () => {};
  #control = new Uint32Array(ENTRY_WORDS);
  #entries = new Uint32Array(0);
  #completions = new Int32Array(0);
  #taken = 0;
  readonly #inFlight = new Set<Entry>();

  constructor() {
    const memory = new Arena(new ArrayBuffer(32 * MiB), crc32c, this.turn);
    // The arena lies at 0x7f12_1000_0000.
    this.mapping = { memory, addressLow: 0x1000_0000, addressHigh: 0x7f12 };
    this.ring = Ring.acquire(this);
    this.ring.addTurns(this.turn);
  }

  /** Cancels what is in flight, as after a test that failed; then whatever uses the ring can be closed, and close() frees it. */
  cancelAll(): void {
    for (let left = [...this.#inFlight, ...this.take()]; left.length > 0; left = this.take())
      for (const entry of left) this.complete(entry, -ECANCELED);
  }

  close(): void {
    this.ring.removeTurns(this.turn);
    this.ring.release();
  }

  /** Ring.heed() minus Ring.unheed(). */
  get heeded(): number {
    return this.#control[HEEDED]!;
  }

  /** The entries that were written since the last call. */
  take(): Entry[] {
    const entries: Entry[] = [];
    while (this.#taken !== this.#control[SQ_TAIL]!) {
      const at = (this.#taken % (this.#entries.length / ENTRY_WORDS)) * ENTRY_WORDS;
      const entry = this.#entryAt(at);
      entries.push(entry);
      this.#inFlight.add(entry);
      this.#taken += 1;
    }
    this.#control[SQ_HEAD] = this.#taken;
    return entries;
  }

  takeOne(): Entry {
    const entries = this.take();
    if (entries.length !== 1) throw new Error(`${entries.length} entries were written, not one`);
    return entries[0]!;
  }

  /** The next entry of an idle ring, once it is written. */
  async takeNext(): Promise<Entry> {
    await new Promise<void>((resolve) => (this.#onHeld = resolve));
    return this.takeOne();
  }

  /** Completes an entry and ends the turn. */
  complete(entry: Entry, result: number, flags = 0): void {
    if (!this.#inFlight.delete(entry)) throw new Error(`an entry with opcode ${entry.opcode} was completed twice`);
    const tail = this.#control[CQ_TAIL]!;
    const at = (tail % (this.#completions.length / COMPLETION_WORDS)) * COMPLETION_WORDS;
    this.#completions.set([entry.index, entry.isQuiet ? 1 : 0, result, flags], at);
    this.#control[CQ_TAIL] = tail + 1;
    this.endTurn();
  }

  endTurn(): void {
    this.#onTurn();
    if (this.#control[CQ_HEAD] !== this.#control[CQ_TAIL]) throw new Error('the ring has left completions');
  }

  openRing(sqEntries: number, cqEntries: number, onTurn: () => void): NativeRing {
    this.#onTurn = onTurn;
    this.#entries = new Uint32Array(sqEntries * ENTRY_WORDS);
    this.#completions = new Int32Array(cqEntries * COMPLETION_WORDS);
    const [control, sqes, cqes] = [this.#control.buffer, this.#entries.buffer, this.#completions.buffer];
    return { handle: {}, mode: 'plain', sqEntries, cqEntries, control, sqes, cqes };
  }

  holdLoop(_ring: object, isHeld: boolean): void {
    if (isHeld) this.#onHeld();
  }

  shutdownSocket(fd: number, how: number): number {
    this.calls.push(`shutdown ${fd} ${how === 1 ? 'write' : 'both'}`);
    return 0;
  }

  closeDescriptor(fd: number): number {
    this.calls.push(`close ${fd}`);
    return 0;
  }

  registerBuffers = (): number => 0;
  unregisterBuffers = (): number => 0;
  closeRing(): void {}
  tuneSocket(): void {}
  tryFlock = (): boolean => true;
  submitRing = (): never => this.#refuse('submitRing');
  mapArena = (): never => this.#refuse('mapArena');
  openSocket = (): never => this.#refuse('openSocket');
  pairSockets = (): never => this.#refuse('pairSockets');
  listenSocket = (): never => this.#refuse('listenSocket');
  socketName = (): never => this.#refuse('socketName');

  #refuse(name: string): never {
    throw new Error(`the scripted kernel has no ${name}()`);
  }

  #entryAt(at: number): Entry {
    const words = this.#entries;
    const { addressLow, addressHigh } = this.mapping;
    const isAddress = words[at + 5] === addressHigh;
    return {
      opcode: words[at]! & 0xff,
      fd: words[at + 1]!,
      offset: words[at + 2]! + words[at + 3]! * 2 ** 32,
      memory: isAddress ? words[at + 4]! - addressLow : words[at + 4]! + words[at + 5]! * 2 ** 32,
      length: words[at + 6]!,
      flags: words[at + 7]!,
      isQuiet: words[at + 9] !== 0,
      index: words[at + 8]!,
    };
  }
}
