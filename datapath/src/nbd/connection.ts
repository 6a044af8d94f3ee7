// One client: the stream's handler, first for its handshake (unless the embedder has agreed on the export already), then for its
// requests. Created by NbdServer for every accepted stream; tells it once when the stream is closed, nothing is in flight and the export
// is given back.
import { formatErrorChain, type PfError } from '../base/errors.ts';
import type { Clock } from '../world/clock.ts';
import type { Logger } from '../world/log.ts';
import type { IoMemory } from '../world/memory.ts';
import type { Stream, StreamHandler } from '../world/network.ts';
import type { ExportLease, ExportShelf } from './export.ts';
import { handOver, type HandOverOptions } from './hand-over.ts';
import { Handshake, type HandshakeLimits, type HandshakeOwner, type Negotiated } from './handshake.ts';
import { Transmission, type TransmissionLimits } from './transmission.ts';

export interface ConnectionContext {
  readonly memory: IoMemory;
  readonly clock: Clock;
  readonly log: Logger;
  readonly shelf: ExportShelf;
  readonly limits: HandshakeLimits & TransmissionLimits;
  readonly onOver: (connection: NbdConnection) => void;
}

/** A client that is served without a handshake. */
export interface NbdSession {
  /** Requests that have come. */
  readonly requestCount: number;
  /** Requests that wait for their answer. */
  readonly requestsInFlight: number;
  readonly isOver: boolean;
  /** Resolves when the stream is closed, nothing is in flight and the export is given back. */
  readonly over: Promise<void>;
  /**
   * Leaves the client to another server: answers what has come, takes nothing more, and ends the stream at a moment when the client waits
   * for answers and sends nothing. True: every request that came was answered. It resolves when the session is over.
   */
  handOver(options: HandOverOptions): Promise<boolean>;
  /** Answers what is in flight, then ends the stream. */
  drain(): void;
  /** Ends the stream at once. */
  destroy(): void;
}

export class NbdConnection implements StreamHandler, HandshakeOwner, NbdSession {
  readonly #stream: Stream;
  readonly #context: ConnectionContext;
  /** Null without one. */
  readonly #handshake: Handshake | null;
  readonly #over = Promise.withResolvers<void>();
  #transmission: Transmission | null = null;
  #exportName: string | null = null;
  #isClosed = false;
  #isOver = false;
  /** What arrived before the export was open. */
  #early: Uint8Array[] = [];

  /** With the name of an export the stream starts in the transmission phase, with simple replies. */
  constructor(stream: Stream, context: ConnectionContext, exportName: string | null = null) {
    this.#stream = stream;
    this.#context = context;
    stream.handler = this;
    if (exportName === null) {
      this.#handshake = new Handshake(stream, context.clock, context.shelf, context.limits, this);
      return;
    }
    this.#handshake = null;
    this.#exportName = exportName;
    stream.pauseReceiving();
    void this.#openExport(exportName);
  }

  /** The export that is being served, once the client has chosen it. */
  get exportName(): string | null {
    return this.#exportName;
  }

  get requestCount(): number {
    return this.#transmission?.requestCount ?? 0;
  }

  get requestsInFlight(): number {
    return this.#transmission?.requestsInFlight ?? 0;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  get over(): Promise<void> {
    return this.#over.promise;
  }

  onBytes(offset: number, length: number): void {
    if (this.#transmission !== null) this.#transmission.reader.onBytes(offset, length);
    else if (this.#handshake !== null) this.#handshake.onBytes(this.#context.memory.bytes.subarray(offset, offset + length));
    else this.#early.push(this.#context.memory.bytes.slice(offset, offset + length));
  }

  onDirect(): void {
    this.#transmission?.reader.onDirect();
  }

  onDrain(): void {
    this.#transmission?.onDrain();
  }

  onClosed(error: PfError | null): void {
    this.#isClosed = true;
    if (error !== null && error.code !== 'CANCELLED') {
      this.#context.log.debug('NBD connection broke', { peer: this.#stream.peer, error: error.message });
    }
    if (this.#transmission !== null) this.#transmission.onClosed();
    else this.#handshake?.onClosed();
  }

  drain(): void {
    if (this.#transmission === null) this.#stream.end();
    else this.#transmission.drain();
  }

  destroy(): void {
    if (this.#transmission === null) this.#stream.destroy();
    else this.#transmission.abort();
  }

  async handOver(options: HandOverOptions): Promise<boolean> {
    if (this.#transmission === null) {
      this.#stream.destroy();
      await this.over;
      return true;
    }
    const wasQuiet = await handOver(this.#transmission, this.#context.clock, options);
    await this.over;
    return wasQuiet;
  }

  negotiated({ lease, hasStructuredReplies, hasBlockStatus, rest }: Negotiated): void {
    this.#exportName = lease.name;
    this.#begin(lease, hasStructuredReplies, hasBlockStatus, rest);
  }

  handshakeFailed(reason: string): void {
    this.#context.log.debug('NBD handshake ended', { peer: this.#stream.peer, reason });
  }

  handshakeOver(): void {
    this.#end();
  }

  async #openExport(name: string): Promise<void> {
    const { shelf, log } = this.#context;
    try {
      const lease = await shelf.lease(name);
      if (!this.#isClosed) {
        this.#begin(lease, false, false, join(this.#early));
        this.#stream.resumeReceiving();
        return;
      }
      lease.release();
    } catch (error) {
      log.warn('NBD export could not be opened', { peer: this.#stream.peer, export: name, error: formatErrorChain(error) });
      this.#stream.destroy();
    }
    this.#end();
  }

  #begin(lease: ExportLease, hasStructuredReplies: boolean, hasBlockStatus: boolean, rest: Uint8Array): void {
    const { memory, log, limits } = this.#context;
    log.debug('NBD client connected', { peer: this.#stream.peer, export: lease.name });
    this.#transmission = new Transmission(this.#stream, memory, lease.device, {
      hasStructuredReplies,
      hasBlockStatus,
      limits,
      onOver: () => {
        lease.release();
        this.#end();
      },
      onViolation: (message) =>
        log.warn('NBD connection ended', { peer: this.#stream.peer, export: lease.name, reason: message }),
    });
    if (rest.length > 0) this.#transmission.reader.feed(rest);
  }

  #end(): void {
    this.#isOver = true;
    this.#over.resolve();
    this.#context.onOver(this);
  }
}

function join(pieces: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
