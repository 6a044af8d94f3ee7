// Listening and connecting through the ring. Names are resolved by Node first; sockets are made by the addon.
import { lookup } from 'node:dns/promises';
import { unlink } from 'node:fs/promises';
import { isIP } from 'node:net';
import { PfError } from '../../base/errors.ts';
import type { Turn } from '../clock.ts';
import { MemoryBlocks } from '../memory-blocks.ts';
import { formatAddress, type Address, type Listener, type Network, type Stream, type StreamPair } from '../network.ts';
import { OUTPUT_BLOCK_BYTES } from '../output-queue.ts';
import type { ArenaMapping } from './arena-mapping.ts';
import { checkUnixPath, clearUnixPath } from './unix-path.ts';
import { nativeError, type NativeAddon } from './native-addon.ts';
import { pairStreams } from './socket-pair.ts';
import { ReceiveBuffers } from './receive-buffers.ts';
import { OP_ACCEPT, OP_CONNECT, type Ring, type RingOperation } from './ring.ts';
import { MESSAGE_BLOCK_BYTES, RingStream, type RingSurroundings } from './ring-stream.ts';
import { toPfError } from './system-error.ts';

const SOCK_CLOEXEC = 0o2000000;
const ECANCELED = 125;
/** EINTR, EAGAIN, EPROTO, ECONNABORTED: the connection went away while it was accepted. */
const HARMLESS_ACCEPT_ERRORS = new Set([4, 11, 71, 103]);
/** After any other accept that failed (no descriptors, no memory); without a pause it would spin. */
const ACCEPT_PAUSE_MS = 100;

export class RingNetwork implements Network {
  readonly #shared: RingSurroundings;
  readonly #streams = new Set<RingStream>();
  readonly #listeners = new Set<RingListener>();
  readonly #attempts = new Set<ConnectAttempt>();
  #isClosed = false;
  #whenIdle: (() => void) | null = null;

  constructor(ring: Ring, addon: NativeAddon, mapping: ArenaMapping, turn: Turn) {
    const { memory, addressLow, addressHigh } = mapping;
    this.#shared = {
      ring,
      addon,
      memory,
      addressLow,
      addressHigh,
      turn,
      outputBlocks: new MemoryBlocks(memory, OUTPUT_BLOCK_BYTES),
      messageBlocks: new MemoryBlocks(memory, MESSAGE_BLOCK_BYTES),
      receiveBuffers: new ReceiveBuffers(ring, memory, addressLow, addressHigh),
    };
  }

  async listen(address: Address, onStream: (stream: Stream) => void): Promise<Listener> {
    const { addon } = this.#shared;
    const action = `cannot listen at ${formatAddress(address)}`;
    if (address.kind === 'unix') await clearUnixPath(address.path);
    const host = address.kind === 'unix' ? address.path : await resolveHost(address.host, action);
    this.#throwIfClosed(action);
    const fd = addon.listenSocket(host, address.kind === 'unix' ? -1 : address.port);
    if (fd < 0) throw toPfError(nativeError(fd, 'listen'), action);
    const real = address.kind === 'unix' ? address : { ...address, port: addon.socketName(fd, false).port };
    return this.#listenOn(fd, real, true, onStream);
  }

  async listenShared(descriptor: number, address: Address, onStream: (stream: Stream) => void): Promise<Listener> {
    return this.#listenOn(descriptor, address, false, onStream);
  }

  pair(): StreamPair {
    this.#throwIfClosed('cannot make a pair of streams');
    return pairStreams(this.#shared.addon, (fd, onGone) => this.#adopt(fd, 'kernel', onGone));
  }

  async connect(address: Address, timeoutMs: number): Promise<Stream> {
    const action = `cannot connect to ${formatAddress(address)}`;
    if (address.kind === 'unix') checkUnixPath(address.path);
    const host = address.kind === 'unix' ? address.path : await resolveHost(address.host, action);
    this.#throwIfClosed(action);
    const attempt = new ConnectAttempt(this.#shared, host, address.kind === 'unix' ? -1 : address.port, action);
    this.#attempts.add(attempt);
    try {
      return this.#adopt(await attempt.run(timeoutMs), formatAddress(address));
    } finally {
      this.#attempts.delete(attempt);
      this.#noteIdle();
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#listeners].map((listener) => listener.close()));
    for (const attempt of this.#attempts) attempt.abandon(new PfError('CANCELLED', 'the world is being closed'));
    for (const stream of this.#streams) stream.destroy();
    if (this.#streams.size + this.#attempts.size > 0) await new Promise<void>((resolve) => (this.#whenIdle = resolve));
    this.#shared.receiveBuffers.close();
  }

  #listenOn(fd: number, address: Address, isOwner: boolean, onStream: (stream: Stream) => void): Listener {
    const listener = new RingListener(fd, address, isOwner, this.#shared, {
      accepted: (streamFd) => onStream(this.#adopt(streamFd, this.#peerName(streamFd))),
      closed: () => this.#listeners.delete(listener),
    });
    this.#listeners.add(listener);
    return listener;
  }

  #adopt(fd: number, peer: string, onGone?: () => void): RingStream {
    const stream = new RingStream(fd, peer, this.#shared, (gone) => {
      this.#streams.delete(gone);
      onGone?.();
      this.#noteIdle();
    });
    this.#streams.add(stream);
    if (this.#isClosed) stream.destroy();
    return stream;
  }

  #throwIfClosed(action: string): void {
    if (this.#isClosed) throw new PfError('CANCELLED', `${action}: the world is being closed`);
  }

  #peerName(fd: number): string {
    const { host, port } = this.#shared.addon.socketName(fd, true);
    return host === '' ? 'unix peer' : `${host}:${port}`;
  }

  #noteIdle(): void {
    if (this.#streams.size + this.#attempts.size === 0) this.#whenIdle?.();
  }
}

interface ListenerOwner {
  accepted(fd: number): void;
  closed(): void;
}

class RingListener implements Listener, RingOperation {
  readonly address: Address;
  readonly descriptor: number;
  /** Another thread's listener owns the socket otherwise. */
  readonly #isOwner: boolean;
  readonly #shared: RingSurroundings;
  readonly #owner: ListenerOwner;
  readonly #index: number;
  #isAccepting = false;
  #closing: Promise<void> | null = null;
  #whenIdle: (() => void) | null = null;
  #pause: NodeJS.Timeout | null = null;

  constructor(descriptor: number, address: Address, isOwner: boolean, shared: RingSurroundings, owner: ListenerOwner) {
    this.descriptor = descriptor;
    this.address = address;
    this.#isOwner = isOwner;
    this.#shared = shared;
    this.#owner = owner;
    this.#index = shared.ring.register(this);
    this.#accept();
  }

  ringDone(result: number): void {
    this.#isAccepting = false;
    if (this.#closing !== null) {
      if (result >= 0) this.#shared.addon.closeDescriptor(result);
      this.#whenIdle!();
      return;
    }
    if (result < 0 && !HARMLESS_ACCEPT_ERRORS.has(-result)) {
      this.#pause = setTimeout(() => this.#accept(), ACCEPT_PAUSE_MS);
      return;
    }
    this.#accept();
    if (result < 0) return;
    this.#shared.addon.tuneSocket(result);
    this.#owner.accepted(result);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { ring, addon } = this.#shared;
    if (this.#pause !== null) clearTimeout(this.#pause);
    if (this.#isAccepting) {
      ring.cancel(this.#index);
      await new Promise<void>((resolve) => (this.#whenIdle = resolve));
    }
    ring.unregister(this.#index);
    if (this.#isOwner && this.address.kind === 'unix') await unlink(this.address.path).catch(() => {});
    if (this.#isOwner) addon.closeDescriptor(this.descriptor);
    this.#owner.closed();
  }

  #accept(): void {
    this.#isAccepting = true;
    this.#shared.ring.push(OP_ACCEPT, this.descriptor, 0, 0, 0, 0, SOCK_CLOEXEC, this.#index, 0, 0, 0);
  }
}

/** One connect on the ring: resolves with the connected descriptor. The address bytes stay in a block until it completes. */
class ConnectAttempt implements RingOperation {
  readonly #shared: RingSurroundings;
  readonly #host: string;
  readonly #port: number;
  readonly #action: string;
  #index = -1;
  #abandonedBecause: PfError | null = null;
  #finish: (result: number) => void = () => {};

  constructor(shared: RingSurroundings, host: string, port: number, action: string) {
    this.#shared = shared;
    this.#host = host;
    this.#port = port;
    this.#action = action;
  }

  async run(timeoutMs: number): Promise<number> {
    const { ring, addon, memory, messageBlocks, addressLow, addressHigh } = this.#shared;
    const socket = addon.openSocket(this.#host, this.#port);
    if (typeof socket === 'number') throw toPfError(nativeError(socket, 'socket'), this.#action, 'CONNECTION_LOST');
    const block = messageBlocks.take();
    memory.bytes.set(new Uint8Array(socket.address), block);
    this.#index = ring.register(this);
    const done = new Promise<number>((resolve) => (this.#finish = resolve));
    ring.push(OP_CONNECT, socket.fd, socket.address.byteLength, addressLow + block, addressHigh, 0, 0, this.#index, 0, 0, 0);
    const timer = setTimeout(
      () => this.abandon(new PfError('TIMEOUT', `${this.#action}: no answer within ${timeoutMs} ms`)),
      timeoutMs,
    );
    const result = await done;
    clearTimeout(timer);
    ring.unregister(this.#index);
    messageBlocks.give(block);
    if (result === 0) return socket.fd;
    addon.closeDescriptor(socket.fd);
    if (result === -ECANCELED && this.#abandonedBecause !== null) throw this.#abandonedBecause;
    throw toPfError(nativeError(result, 'connect'), this.#action, 'CONNECTION_LOST');
  }

  ringDone(result: number): void {
    this.#finish(result);
  }

  abandon(reason: PfError): void {
    this.#abandonedBecause ??= reason;
    if (this.#index >= 0) this.#shared.ring.cancel(this.#index);
  }
}

async function resolveHost(host: string, action: string): Promise<string> {
  if (isIP(host) !== 0) return host;
  try {
    return (await lookup(host)).address;
  } catch (error) {
    throw toPfError(error, action, 'CONNECTION_LOST');
  }
}
