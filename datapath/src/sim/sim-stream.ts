// One end of a simulated connection. Bytes go: output queue -> (end of turn) -> segments on the link -> inbox -> handler.
// The stream of bytes stays in order and whole; how it is cut is random. At most WINDOW_BYTES are on their way or unread,
// so a peer that does not read pushes back. Bytes are copied at every step; delivered memory is poisoned afterwards.
//
//   open --end()--> ending --all sent, FIN--> closed        FIN from the peer, reset or destroy(): --> closed
import { assert } from '../base/assert.ts';
import { PfError } from '../base/errors.ts';
import { ECANCELED } from '../world/completion.ts';
import type { Completion } from '../world/completion.ts';
import { OutputQueue } from '../world/output-queue.ts';
import { RESERVE_MAX_BYTES } from '../world/network.ts';
import type { Stream, StreamHandler } from '../world/network.ts';
import type { SimHost } from './sim-host.ts';
import type { CrashOptions, ProcessResource, SimProcess } from './sim-process.ts';

const WINDOW_BYTES = 1024 * 1024;
const SEGMENT_BYTES = 64 * 1024;
const CONGESTED_BYTES = 1024 * 1024;
const DRAINED_BYTES = 256 * 1024;
const POISON = 0xdd;

interface Segment {
  readonly bytes: Uint8Array;
  readonly kind: 'data' | 'fin' | 'reset';
}

const NOTHING = new Uint8Array(0);

export class SimStream implements Stream, ProcessResource {
  readonly process: SimProcess;
  readonly remoteHost: SimHost;
  readonly peer: string;
  #far: SimStream | null = null;
  #handler: StreamHandler | null = null;
  readonly #output: OutputQueue;
  #isFlushQueued = false;
  #isEnding = false;
  #isFinSent = false;
  #wasCongested = false;
  /** Sent by us and not yet consumed by the far handler. */
  #unreadByFar = 0;
  /** On the link towards us, in order. */
  readonly #onLink: Segment[] = [];
  #lastArrivalMs = 0;
  /** When the oldest segment that has not been accepted was sent; -1 when there is none. */
  #stuckSinceMs = -1;
  #isWatched = false;
  readonly #inbox: Uint8Array[] = [];
  #inboxBytes = 0;
  #isFinReceived = false;
  #finError: PfError | null = null;
  #isDeliveryQueued = false;
  #isReceivingPaused = false;
  #isDelivering = false;
  #directOffset = 0;
  #directLeft = 0;
  /** Nothing more happens but onClosed. */
  isOver = false;
  /** The process died and its machine answers nothing. */
  #isSilent = false;

  constructor(process: SimProcess, remoteHost: SimHost, peer: string) {
    this.process = process;
    this.remoteHost = remoteHost;
    this.peer = peer;
    this.#output = new OutputQueue(process.outputBlocks);
    process.resources.add(this);
    process.sim.network.streams.add(this);
  }

  static join(near: SimStream, far: SimStream): void {
    near.#far = far;
    far.#far = near;
  }

  get handler(): StreamHandler | null {
    return this.#handler;
  }

  set handler(handler: StreamHandler | null) {
    this.#handler = handler;
    this.#queueDelivery();
  }

  get queuedBytes(): number {
    return this.#output.queuedBytes;
  }

  get isCongested(): boolean {
    return this.#output.queuedBytes > CONGESTED_BYTES;
  }

  receiveInto(memoryOffset: number, length: number): void {
    assert(this.#isDelivering, 'receiveInto may be called only from within onBytes or onDirect');
    assert(this.#directLeft === 0 && length > 0, `receiveInto of ${length} bytes while ${this.#directLeft} are still awaited`);
    this.#directOffset = memoryOffset;
    this.#directLeft = length;
  }

  pauseReceiving(): void {
    this.#isReceivingPaused = true;
  }

  resumeReceiving(): void {
    this.#isReceivingPaused = false;
    this.#queueDelivery();
  }

  reserve(length: number): number {
    if (this.isOver || this.#isEnding) return this.process.outputBlocks.spare;
    const offset = this.#output.reserve(length);
    if (this.#output.isExhausted && !this.isOver) {
      this.#sayGoodbye();
      this.#close(new PfError('NO_SPACE', `connection with ${this.peer} was closed: no I/O memory is left for its output`));
    }
    this.#queueFlush();
    return offset;
  }

  writeOwned(memoryOffset: number, length: number, sent: Completion): void {
    if (this.isOver || this.#isEnding) {
      this.process.post(0, 'sent', () => sent.complete(ECANCELED));
      return;
    }
    this.#output.pushOwned(memoryOffset, length, sent);
    this.#queueFlush();
  }

  writeBytes(bytes: Uint8Array): void {
    if (this.isOver || this.#isEnding) return;
    for (let start = 0; start < bytes.length; start += RESERVE_MAX_BYTES) {
      const piece = bytes.subarray(start, start + RESERVE_MAX_BYTES);
      this.process.world.memory.bytes.set(piece, this.reserve(piece.length));
    }
  }

  end(): void {
    this.#isEnding = true;
    this.#queueFlush();
  }

  destroy(): void {
    if (this.isOver) return;
    this.#sayGoodbye();
    this.#close(new PfError('CANCELLED', `connection with ${this.peer} was destroyed by this side`));
  }

  /** The connect() that made this end has given up before it was handed over. */
  abandon(): void {
    if (this.isOver) return;
    this.#sayGoodbye();
    this.#vanish();
  }

  breakBothEnds(why: string): void {
    const far = this.#far;
    this.#reset(why);
    if (far !== null) far.#reset(why);
  }

  describe(): string {
    return `stream with ${this.peer}`;
  }

  closeResource(): void {
    this.destroy();
  }

  processDied(options: CrashOptions): void {
    this.#isSilent = options.peers === 'silence';
    if (this.#isSilent && this.#far !== null) this.#far.#forgetLink();
    else this.#sayGoodbye(this.process.sim.network.random.chance(0.5) ? 'reset' : 'fin');
    this.#vanish();
  }

  // --- sending

  /** Called at the end of a turn: everything written in the turn leaves together. */
  runAtTurnEnd(): void {
    this.#isFlushQueued = false;
    if (this.isOver) this.#output.cancel(ECANCELED);
    else this.#send();
  }

  #queueFlush(): void {
    if (this.isCongested) this.#wasCongested = true;
    if (this.#isFlushQueued || !this.process.isAlive) return;
    this.#isFlushQueued = true;
    this.process.turns.atEnd(this);
  }

  #send(): void {
    while (this.#output.queuedBytes > 0 && this.#unreadByFar < WINDOW_BYTES) {
      const room = Math.min(SEGMENT_BYTES, WINDOW_BYTES - this.#unreadByFar);
      const bytes = this.#takeOutput(room);
      this.#unreadByFar += bytes.length;
      this.#far!.#launch({ bytes, kind: 'data' });
      if (this.isOver) return;
    }
    if (this.isCongested) this.#wasCongested = true;
    if (this.#wasCongested && this.#output.queuedBytes <= DRAINED_BYTES) {
      this.#wasCongested = false;
      this.#handler?.onDrain?.();
    }
    if (this.#isEnding && this.#output.queuedBytes === 0 && !this.isOver) {
      this.#sayGoodbye();
      this.#close(null);
    }
  }

  /** Copies up to `room` bytes out of the queue; completions of what has left whole are called. */
  #takeOutput(room: number): Uint8Array {
    const bytes = new Uint8Array(Math.min(room, this.#output.queuedBytes));
    const arena = this.process.world.memory.bytes;
    let filled = 0;
    for (let index = 0; filled < bytes.length; index += 1) {
      const offset = this.#output.offsetAt(index);
      const length = Math.min(this.#output.lengthAt(index), bytes.length - filled);
      bytes.set(arena.subarray(offset, offset + length), filled);
      filled += length;
    }
    this.#output.advance(filled);
    return bytes;
  }

  #sayGoodbye(kind: 'fin' | 'reset' = 'fin'): void {
    if (this.#isFinSent) return;
    this.#isFinSent = true;
    if (this.#far !== null) this.#far.#launch({ bytes: NOTHING, kind });
  }

  // --- the link towards this end

  #launch(segment: Segment): void {
    const { sim } = this.process;
    const { network } = sim;
    if (segment.kind === 'data' && network.random.chance(network.faults.resetChance)) {
      sim.post(null, 0, 'reset', () => this.breakBothEnds('connection reset by the network'), true);
      return;
    }
    this.#onLink.push(segment);
    if (this.#stuckSinceMs < 0) this.#stuckSinceMs = sim.now;
    const arrivalMs = Math.max(
      this.#lastArrivalMs,
      sim.now + network.links.delay(this.remoteHost, this.process.host, segment.bytes.length),
    );
    this.#lastArrivalMs = arrivalMs;
    sim.post(null, arrivalMs - sim.now, 'segment', () => this.#arrive(), false);
    this.#watch();
  }

  /** One more segment is due, whichever is first in the line. */
  #arrive(): void {
    const { sim, host } = this.process;
    const { links } = sim.network;
    if (this.#onLink.length === 0) return;
    if (!links.isOpen(this.remoteHost, host)) {
      links.whenOpen(this.remoteHost, host, () => this.#arrive());
      return;
    }
    const segment = this.#onLink.shift()!;
    sim.note(segment.bytes.length);
    if (this.#isSilent && !host.processes.get(this.process.name)?.isAlive) return;
    this.#stuckSinceMs = this.#onLink.length === 0 ? -1 : sim.now;
    if (this.isOver) {
      if (segment.kind === 'data') this.#answerReset();
    } else if (segment.kind === 'reset') {
      this.#reset('connection reset by peer');
    } else {
      if (segment.kind === 'fin') this.#isFinReceived = true;
      else this.#inbox.push(segment.bytes);
      this.#inboxBytes += segment.bytes.length;
      this.#queueDelivery();
    }
  }

  /** The sender lost power: what it would have had to send again is gone. */
  #forgetLink(): void {
    this.#onLink.length = 0;
    this.#stuckSinceMs = -1;
  }

  /** Bytes for an end that is gone: its machine says so. */
  #answerReset(): void {
    const { sim, host } = this.process;
    const { links } = sim.network;
    const far = this.#far!;
    const reset = (): void => far.#reset('connection reset by peer');
    const arrive = (): void => {
      if (links.isOpen(host, this.remoteHost)) reset();
      else links.whenOpen(host, this.remoteHost, reset);
    };
    if (!far.isOver) sim.post(null, links.delay(host, this.remoteHost, 64), 'reset', arrive, false);
  }

  /** Ends the connection on the sender's side when its bytes have not moved for too long. */
  #watch(): void {
    if (this.#isWatched || this.#stuckSinceMs < 0) return;
    this.#isWatched = true;
    const { sim } = this.process;
    const { giveUpMs } = sim.network;
    const look = (): void => {
      this.#isWatched = false;
      if (this.#stuckSinceMs < 0 || this.#far!.isOver) return;
      if (sim.now >= this.#stuckSinceMs + giveUpMs) this.#far!.#reset('no acknowledgement from the peer');
      else this.#watch();
    };
    sim.post(null, Math.max(0, this.#stuckSinceMs + giveUpMs - sim.now), 'give-up', look, false);
  }

  #reset(why: string): void {
    if (this.isOver) return;
    const error = new PfError('CONNECTION_LOST', `connection with ${this.peer} is lost: ${why}`);
    // What has arrived may still be read before the error shows, or not.
    if (
      this.#inboxBytes > 0 &&
      !this.#isReceivingPaused &&
      this.#handler !== null &&
      this.process.sim.network.random.chance(0.5)
    ) {
      this.#isFinReceived = true;
      this.#finError = error;
      return;
    }
    this.#close(error);
  }

  // --- receiving

  #queueDelivery(): void {
    if (this.#isDeliveryQueued || this.isOver || this.#handler === null || this.#isReceivingPaused) return;
    if (this.#inboxBytes === 0 && !this.#isFinReceived) return;
    this.#isDeliveryQueued = true;
    this.process.post(0, 'deliver', () => this.#deliver());
  }

  #deliver(): void {
    this.#isDeliveryQueued = false;
    if (this.isOver || this.#handler === null || this.#isReceivingPaused) return;
    if (this.#inboxBytes === 0) {
      if (this.#isFinReceived) this.#close(this.#finError);
      return;
    }
    this.#isDelivering = true;
    const consumed = this.#directLeft > 0 ? this.#deliverDirect() : this.#deliverBytes();
    this.#isDelivering = false;
    this.#acknowledge(consumed);
    this.#queueDelivery();
  }

  #deliverBytes(): number {
    const { world, sim, random } = this.process;
    const block = this.process.outputBlocks.take();
    let length = Math.min(this.#inboxBytes, SEGMENT_BYTES);
    if (random.chance(sim.network.faults.chunkChance)) length = random.integer(1, length);
    this.#takeInbox(world.memory.bytes, block, length);
    try {
      this.#handler!.onBytes(block, length);
    } finally {
      world.memory.bytes.fill(POISON, block, block + length);
      this.process.outputBlocks.give(block);
    }
    return length;
  }

  #deliverDirect(): number {
    const { world, sim, random } = this.process;
    let length = Math.min(this.#inboxBytes, this.#directLeft);
    if (random.chance(sim.network.faults.chunkChance)) length = random.integer(1, length);
    this.#takeInbox(world.memory.bytes, this.#directOffset, length);
    this.#directOffset += length;
    this.#directLeft -= length;
    if (this.#directLeft === 0) this.#handler!.onDirect();
    return length;
  }

  #takeInbox(target: Uint8Array, offset: number, length: number): void {
    this.#inboxBytes -= length;
    for (let filled = 0; filled < length; ) {
      const first = this.#inbox[0]!;
      const take = Math.min(first.length, length - filled);
      target.set(first.subarray(0, take), offset + filled);
      if (take === first.length) this.#inbox.shift();
      else this.#inbox[0] = first.subarray(take);
      filled += take;
    }
  }

  /** Opens the sender's window; while the way back is blocked it stays shut. */
  #acknowledge(length: number): void {
    const far = this.#far;
    if (far === null || far.isOver) return;
    const { links } = this.process.sim.network;
    const open = (): void => {
      const wasFull = far.#unreadByFar >= WINDOW_BYTES;
      far.#unreadByFar -= length;
      if (wasFull || far.#output.queuedBytes > 0) far.#queueFlush();
    };
    if (links.isOpen(this.process.host, this.remoteHost)) open();
    else links.whenOpen(this.process.host, this.remoteHost, open);
  }

  // --- the end

  #close(error: PfError | null): void {
    if (this.isOver) return;
    this.isOver = true;
    this.process.sim.network.streams.delete(this);
    this.process.resources.delete(this);
    const { process } = this;
    process.post(0, 'closed', () => {
      this.#output.cancel(ECANCELED);
      this.#handler?.onClosed(error);
    });
  }

  #vanish(): void {
    this.isOver = true;
    this.process.sim.network.streams.delete(this);
    this.process.resources.delete(this);
  }
}
