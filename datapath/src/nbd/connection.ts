// One client: the stream's handler, first for its handshake, then for its requests. Created by NbdServer for every
// accepted stream; tells it once when the stream is closed, nothing is in flight and the export is given back.
import type { PfError } from '../base/errors.ts';
import type { Clock } from '../world/clock.ts';
import type { Logger } from '../world/log.ts';
import type { IoMemory } from '../world/memory.ts';
import type { Stream, StreamHandler } from '../world/network.ts';
import type { ExportShelf } from './export.ts';
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

export class NbdConnection implements StreamHandler, HandshakeOwner {
  readonly #stream: Stream;
  readonly #context: ConnectionContext;
  readonly #handshake: Handshake;
  #transmission: Transmission | null = null;
  #exportName: string | null = null;

  constructor(stream: Stream, context: ConnectionContext) {
    this.#stream = stream;
    this.#context = context;
    stream.handler = this;
    this.#handshake = new Handshake(stream, context.clock, context.shelf, context.limits, this);
  }

  /** The export that is being served, once the client has chosen it. */
  get exportName(): string | null {
    return this.#exportName;
  }

  onBytes(offset: number, length: number): void {
    if (this.#transmission !== null) this.#transmission.reader.onBytes(offset, length);
    else this.#handshake.onBytes(this.#context.memory.bytes.subarray(offset, offset + length));
  }

  onDirect(): void {
    this.#transmission?.reader.onDirect();
  }

  onDrain(): void {
    this.#transmission?.onDrain();
  }

  onClosed(error: PfError | null): void {
    if (error !== null && error.code !== 'CANCELLED') {
      this.#context.log.debug('NBD connection broke', { peer: this.#stream.peer, error: error.message });
    }
    if (this.#transmission === null) this.#handshake.onClosed();
    else this.#transmission.onClosed();
  }

  /** Answers what is in flight, then ends the stream. */
  drain(): void {
    if (this.#transmission === null) this.#stream.end();
    else this.#transmission.drain();
  }

  /** Ends the stream at once. */
  destroy(): void {
    if (this.#transmission === null) this.#stream.destroy();
    else this.#transmission.abort();
  }

  negotiated({ lease, hasStructuredReplies, hasBlockStatus, rest }: Negotiated): void {
    const { memory, log, limits } = this.#context;
    this.#exportName = lease.name;
    log.debug('NBD client connected', { peer: this.#stream.peer, export: lease.name });
    this.#transmission = new Transmission(this.#stream, memory, lease.device, {
      hasStructuredReplies,
      hasBlockStatus,
      limits,
      onOver: () => {
        lease.release();
        this.#context.onOver(this);
      },
      onViolation: (message) =>
        log.warn('NBD connection ended', { peer: this.#stream.peer, export: lease.name, reason: message }),
    });
    if (rest.length > 0) this.#transmission.reader.feed(rest);
  }

  handshakeFailed(reason: string): void {
    this.#context.log.debug('NBD handshake ended', { peer: this.#stream.peer, reason });
  }

  handshakeOver(): void {
    this.#context.onOver(this);
  }
}
