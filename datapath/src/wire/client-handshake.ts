// The first 32 bytes each way of a connection to a store, from the client's side; called by ClientSession.connect only.
// A stream's handler is set once, so the one that shakes hands stays and passes everything on to the session afterwards.
import { PfError, type ErrorCode } from '../base/errors.ts';
import { EBUSY, EINVAL, EPERM } from '../world/completion.ts';
import type { IoMemory } from '../world/memory.ts';
import { formatAddress, type Address, type Stream, type StreamHandler } from '../world/network.ts';
import type { World } from '../world/world.ts';
import { decodeHandshake, encodeHandshake, type Handshake } from './frame-codec.ts';
import { HANDSHAKE_BYTES, MAX_IO_DEPTH, PROTOCOL_V1, PROTOCOL_V2 } from './messages.ts';

export interface HandshakeWish {
  readonly depth: number;
  readonly volumeId: number;
  readonly clientId: number;
  readonly token: number;
  readonly protocolVersion: number;
}

export interface ShakenHands {
  readonly stream: Stream;
  readonly version: number;
  readonly depth: number;
  /** From now on everything goes to `session`; in the same turn. */
  handOver(session: StreamHandler): void;
}

const REFUSALS: ReadonlyMap<number, ErrorCode> = new Map<number, ErrorCode>([
  [EPERM, 'PERMISSION_DENIED'],
  [EBUSY, 'NOT_READY'],
  [EINVAL, 'INVALID_STATE'],
]);

export async function shakeHands(world: World, address: Address, wish: HandshakeWish, timeoutMs: number): Promise<ShakenHands> {
  const peer = formatAddress(address);
  const startedMs = world.clock.now();
  const stream = await world.network.connect(address, timeoutMs);
  const receiver = new HandshakeReceiver(world.memory, stream, peer);
  stream.handler = receiver;
  const isV2 = wish.protocolVersion >= PROTOCOL_V2;
  const request = new Uint8Array(HANDSHAKE_BYTES);
  encodeHandshake(new DataView(request.buffer), 0, {
    depth: wish.depth,
    volumeId: wish.volumeId,
    clientId: isV2 ? wish.clientId : 0,
    versionOrResult: wish.protocolVersion,
    grantedVersion: 0,
    token: isV2 ? wish.token : 0,
  });
  stream.writeBytes(request);
  const left = Math.max(1, timeoutMs - (world.clock.now() - startedMs));
  const timer = world.clock.after(left, () => {
    receiver.fail(new PfError('TIMEOUT', `store ${peer} did not answer the handshake within ${timeoutMs} ms`));
  });
  try {
    const answer = await receiver.answered;
    const { version, depth } = grantOf(answer, wish, peer);
    return { stream, version, depth, handOver: (session) => receiver.handOver(session) };
  } catch (error) {
    stream.destroy();
    throw error;
  } finally {
    timer.cancel();
  }
}

function grantOf(answer: Handshake, wish: HandshakeWish, peer: string): { version: number; depth: number } {
  const result = answer.versionOrResult;
  if (result !== 0) {
    throw new PfError(
      REFUSALS.get(result) ?? 'UNAVAILABLE',
      `store ${peer} refused the connection for volume ${wish.volumeId} at depth ${wish.depth} with errno ${result}`,
    );
  }
  const version = Math.max(answer.grantedVersion, PROTOCOL_V1);
  if (version > wish.protocolVersion || answer.depth < 1 || answer.depth > MAX_IO_DEPTH) {
    throw new PfError(
      'PROTOCOL_ERROR',
      `store ${peer} granted protocol version ${version} and depth ${answer.depth}: version ${wish.protocolVersion} and depth ${wish.depth} were asked for`,
    );
  }
  return { version, depth: Math.min(answer.depth, wish.depth) };
}

class HandshakeReceiver implements StreamHandler {
  readonly answered: Promise<Handshake>;
  readonly #memory: IoMemory;
  readonly #stream: Stream;
  readonly #peer: string;
  readonly #partial = new Uint8Array(HANDSHAKE_BYTES);
  #have = 0;
  #session: StreamHandler | null = null;
  #closed: { readonly error: PfError | null } | null = null;
  #resolve!: (answer: Handshake) => void;
  #reject!: (error: PfError) => void;

  constructor(memory: IoMemory, stream: Stream, peer: string) {
    this.#memory = memory;
    this.#stream = stream;
    this.#peer = peer;
    this.answered = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  handOver(session: StreamHandler): void {
    this.#session = session;
    if (this.#closed !== null) session.onClosed(this.#closed.error);
  }

  fail(error: PfError): void {
    this.#reject(error);
    this.#stream.destroy();
  }

  onBytes(offset: number, length: number): void {
    if (this.#session !== null) return this.#session.onBytes(offset, length);
    if (this.#have + length > HANDSHAKE_BYTES) {
      return this.fail(
        new PfError(
          'PROTOCOL_ERROR',
          `store ${this.#peer} sent ${this.#have + length} bytes before the first request: 32 were wanted`,
        ),
      );
    }
    this.#partial.set(this.#memory.bytes.subarray(offset, offset + length), this.#have);
    this.#have += length;
    if (this.#have === HANDSHAKE_BYTES) this.#resolve(decodeHandshake(new DataView(this.#partial.buffer), 0));
  }

  onDirect(): void {
    this.#session?.onDirect();
  }

  onDrain(): void {
    this.#session?.onDrain?.();
  }

  onClosed(error: PfError | null): void {
    this.#closed = { error };
    if (this.#session !== null) return this.#session.onClosed(error);
    this.#reject(
      new PfError(
        'CONNECTION_LOST',
        `store ${this.#peer} closed the connection during the handshake`,
        error === null ? {} : { cause: error },
      ),
    );
  }
}
