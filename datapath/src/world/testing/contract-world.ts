// What the contract suites share: a world for the length of one test, waiting for states, memory patterns, and a stream handler that
// records. No node:* here: the same suites run on the real and on the simulated world.
import type { PfError } from '../../base/errors.ts';
import { CompletionPromise } from '../completion.ts';
import type { Address, Listener, Stream, StreamHandler } from '../network.ts';
import type { World } from '../world.ts';

export type OpenWorld = () => Promise<World>;
/** A path that nobody else uses, ending in this name; its folder exists. */
export type NewPath = (name: string) => string;

/** The test body for uvu: opens a world, runs `body`, closes the world whatever happened. */
export function inWorld(openWorld: OpenWorld, body: (world: World) => Promise<void>): () => Promise<void> {
  return async () => {
    const world = await openWorld();
    try {
      await body(world);
    } finally {
      await world.close();
    }
  };
}

/** Waits until `condition` holds; fails, naming `what`, when it does not within the time. */
export async function eventually(world: World, what: string, condition: () => boolean, withinMs = 10_000): Promise<void> {
  const deadline = world.clock.now() + withinMs;
  while (!condition()) {
    if (world.clock.now() > deadline) throw new Error(`${what}: not within ${withinMs} ms`);
    await world.clock.sleep(1);
  }
}

/** The errno of one operation: `await answer((done) => disk.flush(done))`. */
export function answer(start: (done: CompletionPromise) => void): Promise<number> {
  const done = new CompletionPromise();
  start(done);
  return done.done;
}

/** The error code of a promise that must reject; 'nothing' if it does not. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return 'nothing';
  } catch (error) {
    return (error as Partial<PfError>).code ?? String(error);
  }
}

/** The byte that patterns have at a position: no short period, so that shifted or swapped blocks are seen. */
export function patternByte(position: number): number {
  return (Math.imul(position, 0x9e3779b1) >>> 24) ^ (position & 0xff);
}

export function fillPattern(world: World, memoryOffset: number, length: number, position: number): void {
  const { bytes } = world.memory;
  for (let at = 0; at < length; at += 1) bytes[memoryOffset + at] = patternByte(position + at);
}

/** Index of the first byte that differs from the pattern, or -1. */
export function findMismatch(world: World, memoryOffset: number, length: number, position: number): number {
  const { bytes } = world.memory;
  for (let at = 0; at < length; at += 1) if (bytes[memoryOffset + at] !== patternByte(position + at)) return at;
  return -1;
}

/** Records what a stream brings and how it ends; checks that everything follows the pattern. */
export class RecordingHandler implements StreamHandler {
  readonly events: string[] = [];
  receivedBytes = 0;
  mismatchAt = -1;
  drains = 0;
  closedWith: PfError | null | undefined = undefined;
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  onBytes(offset: number, length: number): void {
    if (this.closedWith !== undefined) this.events.push('bytes after the end');
    const mismatch = findMismatch(this.#world, offset, length, this.receivedBytes);
    if (mismatch >= 0 && this.mismatchAt < 0) this.mismatchAt = this.receivedBytes + mismatch;
    this.receivedBytes += length;
  }

  onDirect(): void {
    this.events.push('direct');
  }

  onDrain(): void {
    this.drains += 1;
  }

  onClosed(error: PfError | null): void {
    this.events.push(`closed ${error === null ? 'by the peer' : error.code}`);
    this.closedWith = error;
  }

  get isClosed(): boolean {
    return this.closedWith !== undefined;
  }
}

export interface Pair {
  readonly listener: Listener;
  readonly client: Stream;
  readonly server: Stream;
}

/** A connected pair of streams with these handlers. */
export async function connectPair(
  world: World,
  address: Address,
  clientHandler: StreamHandler,
  serverHandler: StreamHandler,
): Promise<Pair> {
  let server: Stream | null = null;
  const listener = await world.network.listen(address, (stream) => {
    stream.handler = serverHandler;
    server = stream;
  });
  const client = await world.network.connect(listener.address, 5000);
  client.handler = clientHandler;
  await eventually(world, 'the connection is accepted', () => server !== null);
  return { listener, client, server: server! };
}
