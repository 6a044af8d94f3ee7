// The other end of a connection written by hand, byte by byte, for tests: collects what it receives and can wait for it.
// As a server it takes one stream from a listener; as a client it connects.
import { PfError } from '../../base/errors.ts';
import type { Address, Stream, StreamHandler } from '../../world/network.ts';
import type { World } from '../../world/world.ts';

export class RawPeer implements StreamHandler {
  readonly stream: Stream;
  isClosed = false;
  readonly #world: World;
  #received = new Uint8Array(0);

  static async connect(world: World, address: Address): Promise<RawPeer> {
    return new RawPeer(world, await world.network.connect(address, 1000));
  }

  constructor(world: World, stream: Stream) {
    this.#world = world;
    this.stream = stream;
    stream.handler = this;
  }

  get receivedBytes(): number {
    return this.#received.length;
  }

  send(...pieces: readonly Uint8Array[]): void {
    for (const piece of pieces) this.stream.writeBytes(piece);
  }

  /** The next `count` bytes; rejects when they do not come. */
  async take(count: number, withinMs = 5000): Promise<Uint8Array> {
    await until(
      this.#world,
      () => this.#received.length >= count || this.isClosed,
      `${count} bytes from ${this.stream.peer}`,
      withinMs,
    );
    if (this.#received.length < count) {
      throw new PfError('CONNECTION_LOST', `${this.stream.peer} closed after ${this.#received.length} of ${count} bytes`);
    }
    const bytes = this.#received.slice(0, count);
    this.#received = this.#received.slice(count);
    return bytes;
  }

  closed(withinMs = 5000): Promise<void> {
    return until(this.#world, () => this.isClosed, `the end of the connection with ${this.stream.peer}`, withinMs);
  }

  onBytes(offset: number, length: number): void {
    const larger = new Uint8Array(this.#received.length + length);
    larger.set(this.#received, 0);
    larger.set(this.#world.memory.bytes.subarray(offset, offset + length), this.#received.length);
    this.#received = larger;
  }

  onDirect(): void {}

  onClosed(): void {
    this.isClosed = true;
  }
}

/** Waits for a state, with a deadline. */
export async function until(world: World, isSo: () => boolean, what: string, withinMs = 5000): Promise<void> {
  const deadline = world.clock.now() + withinMs;
  while (!isSo()) {
    if (world.clock.now() > deadline) throw new PfError('TIMEOUT', `waited ${withinMs} ms in vain for ${what}`);
    await world.clock.sleep(1);
  }
}
