// The manager's half of a control socket: connects, again and again while the socket is missing; asks; pings, so that a daemon that
// hangs goes offline. Called by service.ts.
//
//   idle ──connect()──▶ connecting ──hello──▶ connected
//    ▲                    │   ▲                  │ closed, broken, no answer to a ping
//    │ disconnect()       ▼   │ back-off         ▼
//    └───────────────── waiting ◀────────────────┘          destroy(): from everywhere, for good
import { formatErrorChain, PfError } from '../base/errors.ts';
import type { Timer } from '../world/clock.ts';
import type { Stream } from '../world/network.ts';
import type { World } from '../world/world.ts';
import type { Json } from '../base/json.ts';
import { CONTROL_PROTOCOL, encodeFrame, FrameReader, type Frame, type Hello } from './control-frames.ts';

export interface ConnectionTimings {
  readonly firstRetryMs: number;
  readonly maxRetryMs: number;
  readonly pingIntervalMs: number;
  /** For the answer to a ping, and for the greeting. */
  readonly pingTimeoutMs: number;
}

export const DEFAULT_CONNECTION_TIMINGS: ConnectionTimings = {
  firstRetryMs: 20,
  maxRetryMs: 1000,
  pingIntervalMs: 2000,
  pingTimeoutMs: 3000,
};

export type ConnectionEvent =
  | { readonly kind: 'connected'; readonly pid: number }
  | { readonly kind: 'disconnected'; readonly reason: PfError }
  | { readonly kind: 'destroyed' };

export interface ConnectionOptions {
  readonly socketPath: string;
  /** Another one that answers there is refused. */
  readonly name: string;
  readonly timings: ConnectionTimings;
  onEvent(event: ConnectionEvent): void;
}

interface Pending {
  readonly timer: Timer;
  resolve(body: Json): void;
  reject(error: unknown): void;
}

const PENDING_MAX = 512;

export class Connection {
  readonly #world: World;
  readonly #options: ConnectionOptions;
  readonly #pending = new Map<number, Pending>();
  #phase: 'idle' | 'connecting' | 'waiting' | 'connected' | 'destroyed' = 'idle';
  #stream: Stream | null = null;
  #timer: Timer | null = null;
  #retryMs = 0;
  #lastId = 0;
  /** Rises with every change of mind, so that late answers of older attempts are known. */
  #generation = 0;

  constructor(world: World, options: ConnectionOptions) {
    this.#world = world;
    this.#options = options;
  }

  get isConnected(): boolean {
    return this.#phase === 'connected';
  }

  /** Begins; goes on until disconnect(). Idempotent. */
  connect(): void {
    if (this.#phase !== 'idle') return;
    this.#retryMs = this.#options.timings.firstRetryMs;
    this.#attempt();
  }

  /** Idempotent. */
  disconnect(): void {
    if (this.#phase === 'idle' || this.#phase === 'destroyed') return;
    this.#leave('idle', new PfError('CANCELLED', `the connection to ${this.#options.name} was ended by its manager`));
  }

  /** For good. */
  destroy(): void {
    if (this.#phase === 'destroyed') return;
    this.disconnect();
    this.#phase = 'destroyed';
    this.#options.onEvent({ kind: 'destroyed' });
  }

  /**
   * The answer to one request. Errors: the daemon's refusal with its code; CONNECTION_LOST when offline or when the connection ends
   * before the answer; TIMEOUT; UNAVAILABLE when too many requests wait.
   */
  async request(operation: string, body: Json, timeoutMs: number, signal?: AbortSignal): Promise<Json> {
    signal?.throwIfAborted();
    const { name } = this.#options;
    if (this.#phase !== 'connected')
      throw new PfError('CONNECTION_LOST', `cannot ask ${name} to "${operation}": it is not connected; start it or wait for it`);
    if (this.#pending.size >= PENDING_MAX)
      throw new PfError('UNAVAILABLE', `cannot ask ${name} to "${operation}": ${PENDING_MAX} requests wait for it already`);
    const id = ++this.#lastId;
    const bytes = encodeFrame({ kind: 'request', id, operation, body });
    const answer = Promise.withResolvers<Json>();
    const timer = this.#world.clock.after(timeoutMs, () => {
      this.#settle(id)?.reject(new PfError('TIMEOUT', `${name} did not answer "${operation}" within ${timeoutMs} ms`));
    });
    const onAbort = (): void => this.#settle(id)?.reject(signal!.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#pending.set(id, { timer, resolve: answer.resolve, reject: answer.reject });
    this.#stream!.writeBytes(bytes);
    return answer.promise.finally(() => signal?.removeEventListener('abort', onAbort));
  }

  #attempt(): void {
    const generation = this.#turnTo('connecting');
    const { socketPath, timings } = this.#options;
    this.#world.network.connect({ kind: 'unix', path: socketPath }, timings.pingTimeoutMs).then(
      (stream) => {
        if (generation === this.#generation) this.#greet(stream);
        else stream.destroy();
      },
      (error: unknown) => {
        if (generation === this.#generation) this.#retry(error);
      },
    );
  }

  #greet(stream: Stream): void {
    const generation = this.#generation;
    const reader = new FrameReader();
    this.#stream = stream;
    const isOld = (): boolean => this.#stream !== stream;
    stream.handler = {
      onBytes: (offset, length) => {
        if (isOld()) return;
        try {
          for (const frame of reader.read(this.#world.memory.bytes.subarray(offset, offset + length))) {
            this.#receive(frame);
            if (isOld()) return;
          }
        } catch (error) {
          this.#lose(error);
        }
      },
      onDirect() {},
      onClosed: (error) => {
        if (!isOld()) this.#lose(error ?? new PfError('CONNECTION_LOST', `${this.#options.name} closed its control socket`));
      },
    };
    this.#timer = this.#world.clock.after(this.#options.timings.pingTimeoutMs, () => {
      if (generation === this.#generation) this.#lose(this.#silence('its greeting'));
    });
  }

  #receive(frame: Frame): void {
    if (frame.kind === 'hello') this.#enter(frame);
    else if (frame.kind === 'reply') this.#settle(frame.id)?.resolve(frame.body);
    else if (frame.kind === 'refusal') this.#settle(frame.id)?.reject(new PfError(frame.code, frame.message));
    else throw new PfError('PROTOCOL_ERROR', `${this.#options.name} sent a ${frame.kind}, which is for managers`);
  }

  #enter(hello: Hello): void {
    const { name, timings } = this.#options;
    if (this.#phase === 'connected') throw new PfError('PROTOCOL_ERROR', `${name} greeted twice`);
    checkHello(hello, name);
    this.#turnTo('connected');
    this.#retryMs = timings.firstRetryMs;
    this.#schedulePing();
    this.#options.onEvent({ kind: 'connected', pid: hello.pid });
  }

  #schedulePing(): void {
    const generation = this.#generation;
    const { pingIntervalMs, pingTimeoutMs } = this.#options.timings;
    this.#timer = this.#world.clock.after(pingIntervalMs, () => {
      this.request('ping', null, pingTimeoutMs).then(
        () => {
          if (generation === this.#generation) this.#schedulePing();
        },
        () => {
          if (generation === this.#generation) this.#lose(this.#silence('a ping'));
        },
      );
    });
  }

  #silence(what: string): PfError {
    const { name, timings } = this.#options;
    return new PfError(
      'TIMEOUT',
      `${name} did not answer with ${what} within ${timings.pingTimeoutMs} ms: it hangs, or is not what it should be`,
    );
  }

  #lose(error: unknown): void {
    const reason = error instanceof PfError ? error : new PfError('INTERNAL', formatErrorChain(error), { cause: error });
    this.#leave('waiting', reason);
    if (this.#phase === 'waiting') this.#retry(reason);
  }

  /** Ends what there is: the stream, the timer, and every request that waits. */
  #leave(next: 'idle' | 'waiting', reason: PfError): void {
    const wasConnected = this.#phase === 'connected';
    this.#turnTo(next);
    const stream = this.#stream;
    this.#stream = null;
    stream?.destroy();
    for (const id of [...this.#pending.keys()]) {
      const lost = new PfError('CONNECTION_LOST', `${this.#options.name} went offline before it answered`, { cause: reason });
      this.#settle(id)?.reject(lost);
    }
    if (wasConnected) this.#options.onEvent({ kind: 'disconnected', reason });
  }

  #retry(error: unknown): void {
    this.#world.log.debug(`no connection to ${this.#options.name}: ${formatErrorChain(error)}`);
    this.#turnTo('waiting');
    const delayMs = this.#retryMs;
    this.#retryMs = Math.min(this.#retryMs * 2, this.#options.timings.maxRetryMs);
    this.#timer = this.#world.clock.after(delayMs, () => this.#attempt());
  }

  #turnTo(phase: 'idle' | 'connecting' | 'waiting' | 'connected'): number {
    this.#timer?.cancel();
    this.#timer = null;
    this.#phase = phase;
    return ++this.#generation;
  }

  #settle(id: number): Pending | null {
    const pending = this.#pending.get(id) ?? null;
    if (pending === null) return null; // A late answer: its request has timed out.
    this.#pending.delete(id);
    pending.timer.cancel();
    return pending;
  }
}

/** The process id that the daemon at a socket says in its greeting; null when nobody answers there, or somebody else. */
export async function askPid(world: World, socketPath: string, name: string, timeoutMs: number): Promise<number | null> {
  const answer = Promise.withResolvers<number | null>();
  let stream: Stream;
  try {
    stream = await world.network.connect({ kind: 'unix', path: socketPath }, timeoutMs);
  } catch {
    return null; // No socket, or nobody behind it.
  }
  const reader = new FrameReader();
  stream.handler = {
    onBytes(offset, length) {
      try {
        const [hello] = reader.read(world.memory.bytes.subarray(offset, offset + length));
        if (hello === undefined) return;
        if (hello.kind === 'hello') checkHello(hello, name);
        answer.resolve(hello.kind === 'hello' ? hello.pid : null);
      } catch {
        answer.resolve(null); // It is not one of ours.
      }
    },
    onDirect() {},
    onClosed: () => answer.resolve(null),
  };
  const timer = world.clock.after(timeoutMs, () => answer.resolve(null));
  const pid = await answer.promise;
  timer.cancel();
  stream.destroy();
  return pid;
}

function checkHello(hello: Hello, name: string): void {
  if (hello.name !== name)
    throw new PfError('PROTOCOL_ERROR', `wanted ${name} at its control socket, and ${hello.name} answered`);
  if (hello.protocol !== CONTROL_PROTOCOL)
    throw new PfError(
      'UNSUPPORTED',
      `${name} speaks version ${hello.protocol} of the control protocol, and ${CONTROL_PROTOCOL} was wanted; restart it with this release`,
    );
}
