// Drives negotiation.ts over a stream: cuts bytes into options, performs the duties, opens exports, keeps the deadline.
// Created by NbdConnection when a stream is accepted. Ends by calling owner.negotiated() or by ending the stream; an
// export that it leased belongs to it until negotiated(), and is given back when the connection ends before that.
import { PfError, formatErrorChain } from '../base/errors.ts';
import type { Clock, Timer } from '../world/clock.ts';
import type { Stream } from '../world/network.ts';
import { describeDevice, type ExportLease, type ExportShelf } from './export.ts';
import { INITIAL_STATE, step, type NegotiationEvent, type NegotiationState, type RefusalReason } from './negotiation.ts';
import { serverHello, viewOf } from './option-codec.ts';
import { FIXED_NEWSTYLE, IHAVEOPT_HIGH, IHAVEOPT_LOW, NO_ZEROES } from './protocol.ts';

export interface HandshakeLimits {
  readonly handshakeTimeoutMs: number;
  readonly maxOptions: number;
  /** Longer option data is skipped and refused. */
  readonly maxOptionBytes: number;
}

export interface Negotiated {
  readonly lease: ExportLease;
  readonly hasStructuredReplies: boolean;
  readonly hasBlockStatus: boolean;
  /** Bytes that belong to the transmission phase already. */
  readonly rest: Uint8Array;
}

export interface HandshakeOwner {
  negotiated(result: Negotiated): void;
  /** The client broke the protocol or a limit; the stream is being ended. */
  handshakeFailed(reason: string): void;
  /** The stream is closed and no export is being opened any more. */
  handshakeOver(): void;
}

const OPTION_HEAD_BYTES = 16;

export class Handshake {
  readonly #stream: Stream;
  readonly #shelf: ExportShelf;
  readonly #limits: HandshakeLimits;
  readonly #owner: HandshakeOwner;
  readonly #deadline: Timer;
  #state: NegotiationState = INITIAL_STATE;
  #bytes = new Uint8Array(0);
  /** Data of an oversized option that is still to be skipped. */
  #skipBytes = 0;
  #oversized: { option: number; length: number } | null = null;
  #lease: ExportLease | null = null;
  #isOpening = false;
  #isClosed = false;

  constructor(stream: Stream, clock: Clock, shelf: ExportShelf, limits: HandshakeLimits, owner: HandshakeOwner) {
    this.#stream = stream;
    this.#shelf = shelf;
    this.#limits = limits;
    this.#owner = owner;
    this.#deadline = clock.after(limits.handshakeTimeoutMs, () => this.#apply({ kind: 'deadline' }));
    stream.writeBytes(serverHello(FIXED_NEWSTYLE | NO_ZEROES));
  }

  /** `bytes` is the caller's; what is needed of it is copied. */
  onBytes(bytes: Uint8Array): void {
    if (this.#state.phase === 'ended') return;
    const skipped = Math.min(this.#skipBytes, bytes.length);
    this.#skipBytes -= skipped;
    const rest = bytes.subarray(skipped);
    const joined = new Uint8Array(this.#bytes.length + rest.length);
    joined.set(this.#bytes);
    joined.set(rest, this.#bytes.length);
    this.#bytes = joined;
    this.#advance();
  }

  onClosed(): void {
    this.#isClosed = true;
    this.#deadline.cancel();
    this.#lease?.release();
    this.#lease = null;
    if (!this.#isOpening) this.#owner.handshakeOver();
  }

  /** Makes events of what has arrived, one after the other, until more bytes or an export are needed. */
  #advance(): void {
    let event = this.#nextEvent();
    while (event !== null) {
      this.#apply(event);
      event = this.#nextEvent();
    }
  }

  #nextEvent(): NegotiationEvent | null {
    const { phase } = this.#state;
    if (phase === 'client-flags') {
      return this.#bytes.length < 4 ? null : { kind: 'client-flags', flags: viewOf(this.#take(4)).getUint32(0) };
    }
    if (phase !== 'options' || this.#skipBytes > 0) return null;
    if (this.#oversized !== null) {
      const { option, length } = this.#oversized;
      this.#oversized = null;
      return { kind: 'oversized-option', option, length };
    }
    return this.#nextOption();
  }

  #nextOption(): NegotiationEvent | null {
    if (this.#bytes.length < OPTION_HEAD_BYTES) return null;
    const head = viewOf(this.#bytes);
    if (head.getUint32(0) !== IHAVEOPT_HIGH || head.getUint32(4) !== IHAVEOPT_LOW) {
      this.#end('the client sent bytes that are not an option');
      return null;
    }
    const option = head.getUint32(8);
    const length = head.getUint32(12);
    if (length > this.#limits.maxOptionBytes) {
      this.#take(OPTION_HEAD_BYTES);
      this.#oversized = { option, length };
      this.#skipBytes = length - this.#take(Math.min(length, this.#bytes.length)).length;
      return this.#nextEvent();
    }
    if (this.#bytes.length < OPTION_HEAD_BYTES + length) return null;
    return { kind: 'option', option, data: this.#take(OPTION_HEAD_BYTES + length).subarray(OPTION_HEAD_BYTES) };
  }

  #take(length: number): Uint8Array {
    const taken = this.#bytes.subarray(0, length);
    this.#bytes = this.#bytes.subarray(length);
    return taken;
  }

  #apply(event: NegotiationEvent): void {
    if (this.#state.phase === 'ended') return;
    const { state, duties } = step(this.#state, event, { titles: this.#shelf.titles, maxOptions: this.#limits.maxOptions });
    this.#state = state;
    for (const duty of duties) {
      if (duty.kind === 'send') this.#stream.writeBytes(duty.bytes);
      else if (duty.kind === 'open') void this.#open(duty.name);
      else if (duty.kind === 'close') this.#end(duty.reason);
      else this.#handOver(duty.hasStructuredReplies, duty.hasBlockStatus);
    }
  }

  #handOver(hasStructuredReplies: boolean, hasBlockStatus: boolean): void {
    this.#deadline.cancel();
    const lease = this.#lease!;
    this.#lease = null;
    this.#owner.negotiated({ lease, hasStructuredReplies, hasBlockStatus, rest: this.#bytes });
  }

  /** Keeps the lease of an INFO, so that the GO that usually follows finds the same device. */
  async #open(name: string): Promise<void> {
    this.#isOpening = true;
    this.#stream.pauseReceiving();
    let event: NegotiationEvent;
    try {
      const lease = await this.#shelf.lease(name);
      this.#lease?.release();
      this.#lease = lease;
      const title = this.#shelf.titles.find((each) => each.name === name);
      event = { kind: 'opened', details: describeDevice(name, title?.description ?? '', lease.device) };
    } catch (error) {
      event = { kind: 'refused', reason: refusalReasonOf(error), message: formatErrorChain(error) };
    }
    this.#isOpening = false;
    if (this.#isClosed) {
      this.#lease?.release();
      this.#lease = null;
      this.#owner.handshakeOver();
      return;
    }
    this.#stream.resumeReceiving();
    this.#apply(event);
    this.#advance();
  }

  #end(reason: string): void {
    this.#state = { ...this.#state, phase: 'ended' };
    this.#deadline.cancel();
    this.#stream.end();
    this.#owner.handshakeFailed(reason);
  }
}

function refusalReasonOf(error: unknown): RefusalReason {
  if (!(error instanceof PfError)) return 'failed';
  if (error.code === 'NOT_FOUND') return 'unknown';
  return error.code === 'PERMISSION_DENIED' || error.code === 'FENCED' ? 'policy' : 'failed';
}
