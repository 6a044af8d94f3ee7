// What every network port does, for streams over TCP and over unix sockets.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../base/sizes.ts';
import { ECANCELED } from '../completion.ts';
import { RESERVE_MAX_BYTES, type Address, type Stream } from '../network.ts';
import type { World } from '../world.ts';
import {
  RecordingHandler,
  answer,
  codeOf,
  connectPair,
  eventually,
  fillPattern,
  findMismatch,
  inWorld,
  type NewPath,
  type OpenWorld,
} from './contract-world.ts';

export function networkContract(name: string, openWorld: OpenWorld, newPath: NewPath): void {
  streamContract(`${name}, TCP`, openWorld, () => ({ kind: 'tcp', host: '127.0.0.1', port: 0 }));
  streamContract(`${name}, unix`, openWorld, () => ({ kind: 'unix', path: newPath('stream.sock') }));
  addressContract(name, openWorld, newPath);
}

function streamContract(name: string, openWorld: OpenWorld, newAddress: () => Address): void {
  const test = suite(`network streams: ${name}`);
  const check = (fact: string, body: (world: World, address: Address) => Promise<void>): void => {
    test(
      fact,
      inWorld(openWorld, (world) => body(world, newAddress())),
    );
  };
  check('bytes arrive whole and in order, in whatever pieces', bytesArriveInOrder);
  check(
    'reserved and owned output leave in the order of the calls, and owned memory is given back with 0',
    ownedAndReservedKeepOrder,
  );
  check('receiveInto in the middle of a burst brings exactly its bytes', directInTheMiddleOfABurst);
  check('10 MB go both ways with back-pressure', bothWaysWithBackPressure);
  check('a paused stream stops its congested peer, and resuming drains it', pauseCongestsAndResumeDrains);
  check('destroy() cancels owned output, and onClosed comes last and not from within', destroyCancels);
  check('a stream whose output finds no memory ends with NO_SPACE, and the others go on', outputWithoutMemory);
  check('after onClosed the target of a receiveInto is never touched', destroyedDirectTargetStaysUntouched);
  check('end() sends what is queued, then both sides see the end', endSendsAndCloses);
  check('what was queued when the peer ended is still sent', queuedOutputSurvivesThePeersEnd);
  check('writeBytes of any length arrives', writeBytesOfAnyLength);
  check('closing a listener leaves its streams alone', closingAListenerKeepsStreams);
  check('streams that end at random moments complete everything once and leave no byte astray', endingAtRandom);
  check('a hundred streams at once echo their own bytes', hundredStreams);
  test.run();
}

async function bytesArriveInOrder(world: World, address: Address): Promise<void> {
  const received = new RecordingHandler(world);
  const { client } = await connectPair(world, address, new RecordingHandler(world), received);
  let position = 0;
  for (let turn = 0; turn < 50; turn += 1) {
    for (const length of [1, 7, 64, 4096, 28 + turn, 20_000]) {
      fillPattern(world, client.reserve(length), length, position);
      position += length;
    }
    if (turn % 7 === 0) await world.clock.sleep(1);
  }
  await eventually(world, 'all bytes arrived', () => received.receivedBytes >= position);
  assert.is(received.receivedBytes, position);
  assert.is(received.mismatchAt, -1);
  client.destroy();
}

async function ownedAndReservedKeepOrder(world: World, address: Address): Promise<void> {
  const received = new RecordingHandler(world);
  const { client } = await connectPair(world, address, new RecordingHandler(world), received);
  const results: number[] = [];
  let position = 0;
  let owned = 0;
  for (let round = 0; round < 40; round += 1) {
    fillPattern(world, client.reserve(28), 28, position);
    position += 28;
    const length = [4096, 65_536, 512][round % 3]!;
    const slot = world.memory.acquireSlot(length);
    fillPattern(world, slot, length, position);
    position += length;
    owned += 1;
    const index = round;
    client.writeOwned(slot, length, {
      complete(result) {
        results.push(result === 0 ? index : -1);
        world.memory.bytes.fill(0, slot, slot + length);
        world.memory.releaseSlot(slot);
      },
    });
    if (round % 10 === 9) await world.clock.sleep(1);
  }
  await eventually(
    world,
    'all bytes arrived and memory came back',
    () => received.receivedBytes >= position && results.length === owned,
  );
  assert.is(received.mismatchAt, -1);
  assert.equal(
    results,
    Array.from({ length: owned }, (_, index) => index),
  );
  assert.is(client.queuedBytes, 0);
  client.destroy();
}

/** Frames of a 4-byte length and a payload: small ones are taken from onBytes, of large ones the rest is received directly. */
class FrameReader extends RecordingHandler {
  readonly frames: number[] = [];
  readonly #stream: () => Stream;
  readonly #memory: World['memory'];
  readonly #target: number;
  #head: number[] = [];
  #frameLength = 0;
  #have = 0;
  #position = 0;
  isBroken = false;
  readonly #isWhole: (length: number, position: number) => boolean;

  constructor(world: World, target: number, stream: () => Stream) {
    super(world);
    this.#memory = world.memory;
    this.#target = target;
    this.#stream = stream;
    this.#isWhole = (length, position) => findMismatch(world, target, length, position) === -1;
  }

  override onBytes(offset: number, length: number): void {
    for (let at = 0; at < length; ) {
      if (this.#head.length < 4) {
        this.#head.push(this.#memory.bytes[offset + at]!);
        at += 1;
        if (this.#head.length === 4) this.#frameLength = this.#head[0]! + this.#head[1]! * 256 + this.#head[2]! * 65_536;
        continue;
      }
      const take = Math.min(this.#frameLength - this.#have, length - at);
      this.#memory.bytes.copyWithin(this.#target + this.#have, offset + at, offset + at + take);
      this.#have += take;
      at += take;
      if (this.#have === this.#frameLength) this.#finishFrame();
    }
    if (this.#head.length === 4) this.#stream().receiveInto(this.#target + this.#have, this.#frameLength - this.#have);
  }

  override onDirect(): void {
    super.onDirect();
    this.#finishFrame();
  }

  #finishFrame(): void {
    if (!this.#isWhole(this.#frameLength, this.#position)) this.isBroken = true;
    this.#position += this.#frameLength;
    this.frames.push(this.#frameLength);
    this.#head = [];
    this.#have = 0;
  }
}

async function directInTheMiddleOfABurst(world: World, address: Address): Promise<void> {
  const target = world.memory.acquireSlot(MiB);
  let server: Stream | null = null;
  const reader = new FrameReader(world, target, () => server!);
  const listener = await world.network.listen(address, (stream) => {
    server = stream;
    stream.handler = reader;
  });
  const client = await world.network.connect(listener.address, 5000);
  client.handler = new RecordingHandler(world);
  const lengths = [100, 70_000, 5, 300_000, 4096, 1, 65_536, 1_000_000, 12, 131_072, 131_072];
  let position = 0;
  for (let round = 0; round < 3; round += 1) {
    for (const length of lengths) {
      const head = client.reserve(4);
      world.memory.view.setUint32(head, length, true);
      for (let sent = 0; sent < length; ) {
        const piece = Math.min(RESERVE_MAX_BYTES, length - sent);
        fillPattern(world, client.reserve(piece), piece, position + sent);
        sent += piece;
      }
      position += length;
    }
    await eventually(world, 'the burst arrived', () => reader.frames.length === lengths.length * (round + 1));
  }
  assert.equal(reader.frames, [...lengths, ...lengths, ...lengths]);
  assert.not.ok(reader.isBroken, 'a frame differs from what was sent');
  assert.ok(reader.events.filter((event) => event === 'direct').length >= 3, 'large frames came through receiveInto');
  client.destroy();
}

/** Sends `total` pattern bytes, politely: stops while the stream is congested. */
class PoliteSender extends RecordingHandler {
  readonly #source: World;
  readonly #total: number;
  #position = 0;
  stream: Stream | null = null;

  constructor(world: World, total: number) {
    super(world);
    this.#source = world;
    this.#total = total;
  }

  pump(): void {
    while (this.#position < this.#total && !this.stream!.isCongested) {
      const length = Math.min(RESERVE_MAX_BYTES, this.#total - this.#position);
      fillPattern(this.#source, this.stream!.reserve(length), length, this.#position);
      this.#position += length;
    }
  }

  override onDrain(): void {
    super.onDrain();
    this.pump();
  }
}

async function bothWaysWithBackPressure(world: World, address: Address): Promise<void> {
  const total = 10_000_000;
  const here = new PoliteSender(world, total);
  const there = new PoliteSender(world, total);
  const { client, server } = await connectPair(world, address, here, there);
  here.stream = client;
  there.stream = server;
  const stutter = world.clock.every(3, () => {
    server.pauseReceiving();
    world.clock.after(2, () => server.resumeReceiving());
  });
  here.pump();
  there.pump();
  await eventually(
    world,
    'both sides have everything',
    () => here.receivedBytes >= total && there.receivedBytes >= total,
    60_000,
  );
  stutter.cancel();
  assert.is(here.receivedBytes, total);
  assert.is(there.receivedBytes, total);
  assert.is(here.mismatchAt, -1);
  assert.is(there.mismatchAt, -1);
  client.destroy();
}

async function pauseCongestsAndResumeDrains(world: World, address: Address): Promise<void> {
  const sender = new PoliteSender(world, 48 * MiB);
  const receiver = new RecordingHandler(world);
  const { client, server } = await connectPair(world, address, sender, receiver);
  sender.stream = client;
  server.pauseReceiving();
  sender.pump();
  await eventually(world, 'the sender is congested', () => client.isCongested);
  await eventually(
    world,
    'buffers are full',
    isStable(() => client.queuedBytes + receiver.receivedBytes),
  );
  assert.ok(client.isCongested, `${client.queuedBytes} bytes are queued`);
  assert.ok(receiver.receivedBytes < 2 * MiB, `a paused stream received ${receiver.receivedBytes} bytes`);
  server.resumeReceiving();
  await eventually(world, 'everything arrived after resuming', () => receiver.receivedBytes === 48 * MiB, 60_000);
  assert.ok(sender.drains > 0);
  assert.is(receiver.mismatchAt, -1);
  client.destroy();
}

/** True once the value has not changed for some looks. */
function isStable(value: () => number): () => boolean {
  let last = NaN;
  let looks = 0;
  return () => {
    const now = value();
    looks = now === last ? looks + 1 : 0;
    last = now;
    return looks >= 20;
  };
}

async function destroyCancels(world: World, address: Address): Promise<void> {
  const here = new RecordingHandler(world);
  const { client, server } = await connectPair(world, address, here, new RecordingHandler(world));
  server.pauseReceiving();
  const slot = world.memory.acquireSlot(MiB);
  const results: number[] = [];
  for (let count = 0; count < 48; count += 1) {
    client.writeOwned(slot, MiB, {
      complete(result) {
        results.push(result);
        here.events.push('completed');
      },
    });
  }
  await eventually(
    world,
    'buffers are full',
    isStable(() => client.queuedBytes),
  );
  const before = here.events.length;
  client.destroy();
  client.destroy();
  assert.is(here.events.length, before, 'nothing is called from within destroy()');
  await eventually(world, 'the stream is closed', () => here.isClosed);
  assert.is(results.length, 48);
  assert.ok(results.includes(ECANCELED), `completions got ${[...new Set(results)].join(', ')}`);
  assert.equal(
    [...new Set(results)].filter((result) => result !== 0 && result !== ECANCELED),
    [],
  );
  assert.is(here.events.at(-1), 'closed CANCELLED');
  assert.is(await answer((done) => client.writeOwned(slot, 4096, done)), ECANCELED, 'output after the end is refused');
}

async function outputWithoutMemory(world: World, address: Address): Promise<void> {
  const here = new RecordingHandler(world);
  const { client, server, listener } = await connectPair(world, address, here, new RecordingHandler(world));
  const other = new RecordingHandler(world);
  const otherStream = await world.network.connect(listener.address, 5000);
  otherStream.handler = other;
  fillPattern(world, otherStream.reserve(1), 1, 0);
  server.pauseReceiving();
  for (const size of [MiB, 4096]) {
    while ((await codeOf((async () => world.memory.reserve(size))())) === 'nothing');
  }
  for (let count = 0; count < 1000; count += 1) client.reserve(RESERVE_MAX_BYTES);
  await eventually(world, 'the stream is closed', () => here.isClosed);
  assert.is(here.closedWith?.code, 'NO_SPACE');
  assert.is(other.isClosed, false);
}

async function destroyedDirectTargetStaysUntouched(world: World, address: Address): Promise<void> {
  const target = world.memory.acquireSlot(65_536);
  let server: Stream | null = null;
  const there = new (class extends RecordingHandler {
    override onBytes(offset: number, length: number): void {
      super.onBytes(offset, length);
      server!.receiveInto(target, 65_536);
    }
  })(world);
  const here = new RecordingHandler(world);
  const listener = await world.network.listen(address, (stream) => {
    server = stream;
    stream.handler = there;
  });
  const client = await world.network.connect(listener.address, 5000);
  client.handler = here;
  fillPattern(world, client.reserve(1), 1, 0);
  await eventually(world, 'the first byte arrived', () => there.receivedBytes === 1);
  client.writeBytes(new Uint8Array(1000).fill(1));
  await world.clock.sleep(5);
  server!.destroy();
  await eventually(world, 'the stream is closed', () => there.isClosed);
  assert.is(there.events.at(-1), 'closed CANCELLED');
  world.memory.bytes.fill(0xee, target, target + 65_536);
  client.writeBytes(new Uint8Array(30_000).fill(1));
  await eventually(world, 'the peer sees the end', () => here.isClosed);
  assert.ok(world.memory.bytes.subarray(target, target + 65_536).every((byte) => byte === 0xee));
}

async function endSendsAndCloses(world: World, address: Address): Promise<void> {
  const here = new RecordingHandler(world);
  const there = new RecordingHandler(world);
  const { client } = await connectPair(world, address, here, there);
  for (let position = 0; position < 3_000_000; position += 30_000) fillPattern(world, client.reserve(30_000), 30_000, position);
  client.end();
  await eventually(world, 'both sides are closed', () => here.isClosed && there.isClosed);
  assert.is(there.receivedBytes, 3_000_000);
  assert.is(there.mismatchAt, -1);
  assert.equal(there.events, ['closed by the peer']);
  assert.equal(here.events, ['closed by the peer']);
}

async function queuedOutputSurvivesThePeersEnd(world: World, address: Address): Promise<void> {
  const here = new RecordingHandler(world);
  const there = new RecordingHandler(world);
  const { client, server } = await connectPair(world, address, here, there);
  fillPattern(world, client.reserve(100), 100, 0);
  await eventually(world, 'the request arrived', () => there.receivedBytes === 100);
  const slot = world.memory.acquireSlot(4096);
  const sent = answer((done) => {
    server.writeOwned(slot, 4096, done);
    client.end();
  });
  assert.is(await sent, 0);
  await eventually(world, 'both sides are closed', () => here.isClosed && there.isClosed);
  assert.is(there.closedWith, null);
}

async function writeBytesOfAnyLength(world: World, address: Address): Promise<void> {
  const received = new RecordingHandler(world);
  const { client } = await connectPair(world, address, new RecordingHandler(world), received);
  const slot = world.memory.acquireSlot(200_001);
  fillPattern(world, slot, 200_001, 0);
  client.writeBytes(world.memory.bytes.subarray(slot, slot + 3));
  client.writeBytes(new Uint8Array(0));
  client.writeBytes(world.memory.bytes.slice(slot + 3, slot + 200_001));
  await eventually(world, 'all bytes arrived', () => received.receivedBytes === 200_001);
  assert.is(received.mismatchAt, -1);
  client.destroy();
}

async function closingAListenerKeepsStreams(world: World, address: Address): Promise<void> {
  const received = new RecordingHandler(world);
  const { client, listener } = await connectPair(world, address, new RecordingHandler(world), received);
  await listener.close();
  await listener.close();
  const refusal = await codeOf(world.network.connect(listener.address, 2000));
  assert.is(refusal, listener.address.kind === 'tcp' ? 'CONNECTION_LOST' : 'NOT_FOUND');
  fillPattern(world, client.reserve(500), 500, 0);
  await eventually(world, 'the stream still works', () => received.receivedBytes === 500);
  client.destroy();
}

/** Sends up to twenty owned pattern pieces, one after the other, while it lives; its completions are counted. */
class OwnedSender extends RecordingHandler {
  stream: Stream | null = null;
  pieces = 0;
  completed = 0;
  readonly #home: World;
  readonly #slot: number;
  readonly #length: number;

  constructor(world: World, slot: number, length: number) {
    super(world);
    this.#home = world;
    this.#slot = slot;
    this.#length = length;
  }

  send(): void {
    if (this.isClosed || this.pieces === 20) return;
    fillPattern(this.#home, this.#slot, this.#length, this.pieces * this.#length);
    this.pieces += 1;
    this.stream!.writeOwned(this.#slot, this.#length, this);
  }

  complete(result: number): void {
    this.completed += 1;
    if (result === 0) this.send();
  }
}

async function endingAtRandom(world: World, address: Address): Promise<void> {
  const receivers: RecordingHandler[] = [];
  const listener = await world.network.listen(address, (stream) => {
    const receiver = new RecordingHandler(world);
    receivers.push(receiver);
    stream.handler = receiver;
    if (world.random.below(3) === 0) endLater(world, stream);
    if (world.random.below(3) === 0) stream.pauseReceiving();
    world.clock.after(world.random.below(10), () => stream.resumeReceiving());
  });
  const senders: OwnedSender[] = [];
  for (let count = 0; count < 60; count += 1) {
    const length = 1 + world.random.below(100_000);
    const sender = new OwnedSender(world, world.memory.acquireSlot(length), length);
    sender.stream = await world.network.connect(listener.address, 5000);
    sender.stream.handler = sender;
    senders.push(sender);
    sender.send();
    endLater(world, sender.stream);
    if (count % 10 === 9) await world.clock.sleep(world.random.below(5));
  }
  await eventually(world, 'all streams are closed', () => [...senders, ...receivers].every((each) => each.isClosed));
  for (const sender of senders) assert.is(sender.completed, sender.pieces);
  for (const receiver of receivers) assert.is(receiver.mismatchAt, -1);
  const ends = [...senders, ...receivers].flatMap(({ events }) => events.filter((event) => event.startsWith('closed')));
  assert.is(ends.length, senders.length + receivers.length, 'each stream says once that it is closed');
}

function endLater(world: World, stream: Stream): void {
  const isPolite = world.random.below(2) === 0;
  world.clock.after(world.random.below(20), () => (isPolite ? stream.end() : stream.destroy()));
}

async function hundredStreams(world: World, address: Address): Promise<void> {
  const { bytes } = world.memory;
  const listener = await world.network.listen(address, (stream) => {
    stream.handler = {
      onBytes: (offset, length) => bytes.copyWithin(echoTo(stream, length), offset, offset + length),
      onDirect() {},
      onClosed() {},
    };
  });
  const clients = await Promise.all(
    Array.from({ length: 100 }, async () => {
      const stream = await world.network.connect(listener.address, 5000);
      const handler = new RecordingHandler(world);
      stream.handler = handler;
      return { stream, handler };
    }),
  );
  for (let position = 0; position < 5000; position += 1000) {
    for (const { stream } of clients) fillPattern(world, stream.reserve(1000), 1000, position);
    await eventually(world, 'everybody has the echo', () =>
      clients.every(({ handler }) => handler.receivedBytes === position + 1000),
    );
  }
  assert.ok(clients.every(({ handler }) => handler.mismatchAt === -1));
  for (const { stream } of clients) stream.end();
  await eventually(world, 'all are closed', () => clients.every(({ handler }) => handler.isClosed));
}

function echoTo(stream: Stream, length: number): number {
  assert.ok(length <= RESERVE_MAX_BYTES);
  return stream.reserve(length);
}

function addressContract(name: string, openWorld: OpenWorld, newPath: NewPath): void {
  const test = suite(`network addresses: ${name}`);
  test(
    'port 0 becomes a real port, and nobody else can listen there',
    inWorld(openWorld, async (world) => {
      const first = await world.network.listen({ kind: 'tcp', host: '127.0.0.1', port: 0 }, refuse);
      assert.ok(first.address.kind === 'tcp' && first.address.port > 0);
      assert.is(await codeOf(world.network.listen(first.address, refuse)), 'ALREADY_EXISTS');
      await first.close();
      const second = await world.network.listen(first.address, refuse);
      await second.close();
    }),
  );
  test(
    'a unix path that is served is refused, and free again after close',
    inWorld(openWorld, async (world) => {
      const address: Address = { kind: 'unix', path: newPath('busy.sock') };
      const first = await world.network.listen(address, refuse);
      assert.is(await codeOf(world.network.listen(address, refuse)), 'ALREADY_EXISTS');
      await first.close();
      const second = await world.network.listen(address, refuse);
      await second.close();
    }),
  );
  test(
    'connecting where nobody listens fails at once',
    inWorld(openWorld, async (world) => {
      const listener = await world.network.listen({ kind: 'tcp', host: '127.0.0.1', port: 0 }, refuse);
      await listener.close();
      assert.is(await codeOf(world.network.connect(listener.address, 5000)), 'CONNECTION_LOST');
      assert.is(await codeOf(world.network.connect({ kind: 'unix', path: newPath('nobody.sock') }, 5000)), 'NOT_FOUND');
    }),
  );
  test.run();
}

function refuse(stream: Stream): void {
  stream.handler = { onBytes() {}, onDirect() {}, onClosed() {} };
  stream.destroy();
}
