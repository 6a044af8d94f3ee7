// Byte streams of the data plane: TCP and unix sockets. (HTTP has its own port, world/http.ts.)
// A stream pushes received bytes to its handler; the handler consumes all of them before it returns.
// Output written during one turn of the loop leaves together, in order, at the end of the turn.
import type { Completion } from './completion.ts';
import type { PfError } from '../base/errors.ts';

export type Address =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

export interface StreamHandler {
  /**
   * Bytes [offset, offset + length) of the arena have arrived. They are valid during the call only, and all of them
   * count as consumed when it returns. The handler may call stream.receiveInto() as its last act.
   */
  onBytes(offset: number, length: number): void;
  /** A receiveInto() is complete. */
  onDirect(): void;
  /** The last call: the peer closed (null), the connection broke, or destroy() was called (then `CANCELLED`). */
  onClosed(error: PfError | null): void;
  /** Output that had been refused by isCongested may go on. */
  onDrain?(): void;
}

export interface Stream {
  readonly peer: string;
  /** Until it is set nothing is received. Set it once, in the same turn in which the stream was handed over. */
  handler: StreamHandler | null;
  /** True while so much output is queued that a polite producer waits for onDrain. Writing is still accepted. */
  readonly isCongested: boolean;
  readonly queuedBytes: number;

  /** The next `length` bytes of the stream go straight to arena memory; then onDirect(). Only from within onBytes/onDirect. */
  receiveInto(memoryOffset: number, length: number): void;
  /** Stops reading from the peer until resumeReceiving(): back-pressure. Bytes already received may still be delivered once. */
  pauseReceiving(): void;
  resumeReceiving(): void;

  /** `length` (1..RESERVE_MAX_BYTES) bytes of output, to be filled by the caller before it returns to the loop: their arena offset. */
  reserve(length: number): number;
  /** Sends arena memory without a copy; it must stay untouched until `sent.complete(errno)`. */
  writeOwned(memoryOffset: number, length: number, sent: Completion): void;
  /** Cold path: copies the bytes. Any length. */
  writeBytes(bytes: Uint8Array): void;

  /**
   * Sends what is queued, then closes; the handler's onClosed follows. Output written after end(), after the peer's end or after the
   * stream broke is dropped: writeOwned() is answered with ECANCELED.
   */
  end(): void;
  /** Closes at once; queued output is dropped and its completions get ECANCELED. onClosed follows in a later turn. Idempotent. */
  destroy(): void;
}

export const RESERVE_MAX_BYTES = 32 * 1024;

export interface Listener {
  /** The real address: the port that was chosen for port 0. */
  readonly address: Address;
  /** The listening socket, for Network.listenShared() in the worlds of other threads. Absent where that is not possible. */
  readonly descriptor?: number;
  /** Stops accepting; streams stay. Removes a unix socket's path. */
  close(): Promise<void>;
}

/** Two ends of one unix stream: a Stream of this world, and a descriptor for the kernel. */
export interface StreamPair {
  readonly stream: Stream;
  /** The other end. Whoever keeps it takes it over by then; it is closed with closeDescriptor(), at the latest with the stream. */
  readonly descriptor: number;
  closeDescriptor(): void;
  /** The other end cannot send any more: its next send fails with EPIPE. What it has sent is still received, then the end. */
  refuseInput(): void;
}

export interface Network {
  /**
   * Calls `onStream` for each accepted stream; it must set stream.handler before it returns.
   * A unix path that exists and answers fails with ALREADY_EXISTS; one that nobody serves any more is replaced.
   */
  listen(address: Address, onStream: (stream: Stream) => void): Promise<Listener>;
  /**
   * Accepts streams from the socket of another thread's listener, which stays the owner: it closes last. The kernel gives each
   * connection to one of those who accept. Absent where sockets cannot be shared between threads.
   */
  listenShared?(descriptor: number, address: Address, onStream: (stream: Stream) => void): Promise<Listener>;
  /** The caller sets stream.handler in the same turn. Absent without the native addon. */
  pair?(): StreamPair;
  /** Errors: CONNECTION_LOST (refused, unreachable), TIMEOUT, NOT_FOUND (unix path). TCP_NODELAY is set. The caller sets handler in the same turn. */
  connect(address: Address, timeoutMs: number): Promise<Stream>;
}

export function formatAddress(address: Address): string {
  return address.kind === 'unix' ? `unix:${address.path}` : `${address.host}:${address.port}`;
}
