// A server with one scripted client: an arena, a memory device, and a connection in the transmission phase.
import { crc32c } from '../../base/crc32c.ts';
import type { BlockDevice } from '../../block/device.ts';
import { MemoryDevice } from '../../block/memory-device.ts';
import { Arena } from '../../world/arena.ts';
import type { Clock } from '../../world/clock.ts';
import { silentLogger } from '../../world/log.ts';
import type { Network } from '../../world/network.ts';
import { TurnQueue } from '../../world/turn-queue.ts';
import { serveNbd, type NbdLimits, type NbdServer } from '../server.ts';
import { ReplyParser, hello } from './client-frames.ts';
import { ScriptedStream } from './scripted-stream.ts';

export const MiB = 1024 * 1024;

const idleClock: Clock = {
  now: () => 0,
  wallTimeMs: () => 0,
  after: () => ({ cancel() {} }),
  every: () => ({ cancel() {} }),
  sleep: async () => {},
};
const noNetwork: Network = {
  listen: () => Promise.reject(new Error('the script has no network')),
  connect: () => Promise.reject(new Error('the script has no network')),
};

export class ScriptedServer {
  readonly turn = new TurnQueue(() => {});
  readonly memory: Arena;
  readonly device: BlockDevice;
  readonly #limits: Partial<NbdLimits>;
  server!: NbdServer;

  constructor(options: { device?: (memory: Arena) => BlockDevice; limits?: Partial<NbdLimits>; memoryBytes?: number } = {}) {
    this.memory = new Arena(new ArrayBuffer(options.memoryBytes ?? 96 * MiB), crc32c, this.turn);
    this.device = options.device?.(this.memory) ?? new MemoryDevice(this.memory, { sizeBytes: 64 * MiB });
    this.#limits = options.limits ?? {};
  }

  async open(): Promise<this> {
    const world = { memory: this.memory, clock: idleClock, network: noNetwork, log: silentLogger };
    this.server = await serveNbd(world, { exports: [{ name: 'disk', device: this.device }], limits: this.#limits });
    return this;
  }

  /** A stream that the server has just accepted; its greeting waits in takeOutput(). */
  accept(): ScriptedStream {
    const stream = new ScriptedStream(this.memory);
    this.server.acceptStream(stream);
    return stream;
  }

  /** A client past its handshake, whose output has been taken. */
  async connect(mode: { structured?: boolean; blockStatus?: boolean } = {}): Promise<ScriptedClient> {
    const stream = this.accept();
    stream.deliver(hello(mode));
    for (let round = 0; round < 20; round++) await Promise.resolve();
    stream.takeOutput();
    return new ScriptedClient(stream, this.turn);
  }
}

export class ScriptedClient {
  readonly stream: ScriptedStream;
  readonly parser = new ReplyParser();
  readonly #turn: TurnQueue;

  constructor(stream: ScriptedStream, turn: TurnQueue) {
    this.stream = stream;
    this.#turn = turn;
  }

  send(...frames: Uint8Array[]): void {
    this.stream.deliver(Buffer.concat(frames));
  }

  /** Takes output and ends turns until nothing comes any more. */
  settle(): void {
    for (;;) {
      const output = this.stream.takeOutput();
      this.parser.push(output);
      this.#turn.run();
      if (output.length === 0 && this.stream.queuedBytes === 0) return;
    }
  }
}
