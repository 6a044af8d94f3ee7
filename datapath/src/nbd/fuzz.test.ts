// Mutated handshakes and requests against a server in this process: it must never throw, hang, leak a slot or stop
// serving its other client. PF_FUZZ_FRAMES sets the number of frames (default 20,000), PF_FUZZ_SEED the seed.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { choice, hello, optionFrame, queries, requestFrame, u32 } from './testing/client-frames.ts';
import { MiB, ScriptedServer, type ScriptedClient } from './testing/scripted-server.ts';
import type { ScriptedStream } from './testing/scripted-stream.ts';

const FRAMES = Number(process.env['PF_FUZZ_FRAMES'] ?? 20_000);
const SEED = Number(process.env['PF_FUZZ_SEED'] ?? 1);
const NEW_CLIENT_EVERY = 40;

class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** Uniform enough in [0, n). */
  below(n: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * n);
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }
}

const LENGTHS = [0, 1, 511, 512, 4096, 16_384, 16_385, 70_000, MiB, MiB + 1, 3 * MiB, 32 * MiB, 33 * MiB, 2 ** 31, 2 ** 32 - 1];
const OFFSETS = [0, 1, 4096, 63 * MiB, 64 * MiB - 1, 64 * MiB, 2 ** 32, 2n ** 63n, 2n ** 64n - 1n];

function randomRequest(dice: Dice, cookie: number): Buffer {
  const command = dice.below(20) === 0 ? dice.below(65_536) : dice.below(8);
  const flags = dice.below(4) === 0 ? dice.below(65_536) : dice.pick([0, 0, 1, 2, 4, 8, 16]);
  const length = dice.pick(LENGTHS);
  const head = requestFrame({ command, flags, cookie, offset: dice.pick(OFFSETS), length });
  if (command !== 1) return head;
  const announced = Math.min(length, 100_000);
  const payload = Buffer.alloc(dice.below(8) === 0 ? dice.below(announced + 1) : announced, cookie & 0xff);
  return Buffer.concat([head, payload]);
}

function randomOption(dice: Dice): Buffer {
  const option = dice.below(10) === 0 ? dice.below(2 ** 32) : dice.below(13);
  const names = ['', 'disk', 'none', 'x'.repeat(5000), '\0', 'd\u00efsk'];
  const data = [
    Buffer.alloc(0),
    choice(dice.pick(names), dice.below(5), dice.below(65_536)),
    queries(dice.pick(names), 'base:allocation', 'base:', 'q'.repeat(dice.below(5000))),
    Buffer.alloc(dice.below(40_000), dice.below(256)),
    Buffer.concat([u32(dice.below(2 ** 32)), Buffer.from('disk')]),
  ];
  return optionFrame(option, dice.pick(data));
}

function mutate(dice: Dice, frame: Buffer): Buffer {
  const kind = dice.below(12);
  if (kind > 4 || frame.length === 0) return frame;
  const bytes = Buffer.from(frame);
  if (kind === 0) bytes[dice.below(bytes.length)]! ^= 1 << dice.below(8);
  if (kind === 1) bytes[dice.below(bytes.length)] = dice.pick([0, 1, 0x7f, 0x80, 0xff]);
  if (kind === 2) return bytes.subarray(0, dice.below(bytes.length));
  if (kind === 3) return Buffer.concat([bytes, Buffer.alloc(dice.below(64), dice.below(256))]);
  if (kind === 4) for (let at = 4 + dice.below(24); at < Math.min(28, bytes.length); at++) bytes[at] = dice.below(256);
  return bytes;
}

function deliverInParts(dice: Dice, stream: ScriptedStream, bytes: Buffer): void {
  if (dice.below(3) > 0) return stream.deliver(bytes);
  for (let at = 0; at < bytes.length; ) {
    const end = at + 1 + dice.below(Math.max(1, bytes.length - at));
    stream.deliver(bytes.subarray(at, end));
    at = end;
  }
}

async function endOfMicrotasks(): Promise<void> {
  for (let round = 0; round < 6; round++) await Promise.resolve();
}

async function drainOutput(server: ScriptedServer, stream: ScriptedStream): Promise<void> {
  for (let round = 0; round < 1000; round++) {
    await endOfMicrotasks();
    const sent = stream.takeOutput().length;
    server.turn.run();
    if (sent === 0 && stream.queuedBytes === 0) return;
  }
  throw new Error('the server does not come to rest');
}

async function checkHealthy(client: ScriptedClient, server: ScriptedServer, cookie: number): Promise<void> {
  const data = Buffer.alloc(6000, cookie & 0xff);
  client.parser.readLengths.set(BigInt(cookie + 1), data.length);
  client.send(requestFrame({ command: 1, cookie, offset: 50 * MiB, payload: data }));
  client.send(requestFrame({ command: 0, cookie: cookie + 1, offset: 50 * MiB, length: data.length }));
  client.settle();
  server.turn.run();
  client.settle();
  const { error, chunks } = client.parser.of(cookie + 1);
  assert.is(error, 0);
  assert.is(Buffer.compare(chunks[0]!.payload, data), 0);
  client.parser.replies.length = 0;
}

/** One hostile client: a handshake, sometimes sound, then frames. Answers how many frames it sent. */
async function attack(dice: Dice, server: ScriptedServer): Promise<number> {
  const stream = server.accept();
  const isSound = dice.below(5) > 0;
  let frames = 0;
  const send = (frame: Buffer): void => {
    frames += 1;
    deliverInParts(dice, stream, mutate(dice, frame));
  };
  if (isSound) stream.deliver(hello({ structured: dice.below(2) === 0, blockStatus: dice.below(2) === 0 }));
  else {
    send(u32(dice.below(4)));
    for (let left = dice.below(20); left > 0; left--) send(randomOption(dice));
  }
  await drainOutput(server, stream);
  for (let left = dice.below(2 * NEW_CLIENT_EVERY); left > 0 && !stream.isDestroyed && !stream.isEnded; left--) {
    send(randomRequest(dice, frames));
    if (dice.below(4) === 0) await drainOutput(server, stream);
  }
  if (dice.below(2) === 0) await drainOutput(server, stream);
  stream.close();
  await endOfMicrotasks();
  return Math.max(1, frames);
}

test(`${FRAMES} mutated frames harm nobody (seed ${SEED})`, async () => {
  const dice = new Dice(SEED);
  const server = await new ScriptedServer().open();
  const healthy = await server.connect();
  let frames = 0;
  let heapAfterWarmUp = 0;
  for (let round = 0; frames < FRAMES; round++) {
    frames += await attack(dice, server);
    server.turn.run();
    if (server.server.connectionCount !== 1) {
      server.turn.run();
      await endOfMicrotasks();
    }
    assert.is(server.server.connectionCount, 1, `a connection was left behind after ${frames} frames`);
    assert.is(server.memory.takenSlots, 0, `a slot was left behind after ${frames} frames`);
    if (round % 10 === 0) await checkHealthy(healthy, server, round * 2 + 1_000_000_000);
    if (heapAfterWarmUp === 0 && frames > FRAMES / 4) heapAfterWarmUp = process.memoryUsage().heapUsed;
  }
  const grown = process.memoryUsage().heapUsed - heapAfterWarmUp;
  assert.ok(grown < 64 * MiB, `the heap grew by ${Math.round(grown / MiB)} MiB`);
  await checkHealthy(healthy, server, 7);
});

test.run();
