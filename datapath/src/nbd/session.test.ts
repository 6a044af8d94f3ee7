// Clients without a handshake, as the kernel is one: a stream that starts with requests, and how it is left to the next server.
// needs: native
// ports: both
import { Socket } from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { WRITE, type BlockDevice, type BlockRequest } from '../block/device.ts';
import { MemoryDevice } from '../block/memory-device.ts';
import { silentLogger } from '../world/log.ts';
import type { StreamPair } from '../world/network.ts';
import { loadNativeAddon, type LoadedAddon } from '../world/node/native-addon.ts';
import { openNodeWorld } from '../world/node/node-world.ts';
import { eventually } from '../world/testing/contract-world.ts';
import type { World } from '../world/world.ts';
import { serveNbd, type NbdServer } from './server.ts';
import { ReplyParser, requestFrame } from './testing/client-frames.ts';
import { ScriptedClient, ScriptedServer } from './testing/scripted-server.ts';
import { ScriptedStream } from './testing/scripted-stream.ts';

const MiB = 1024 * 1024;
/** The protocol's numbers. */
const [CMD_READ, CMD_WRITE, CMD_DISC] = [0, 1, 2];
const addon = loadNativeAddon() as LoadedAddon;

/** The kernel's side. */
class Client {
  readonly parser = new ReplyParser();
  readonly #socket: Socket;
  hasEnded = false;
  error = '';

  constructor(pair: StreamPair) {
    this.#socket = new Socket({
      fd: addon.duplicateDescriptor(pair.descriptor),
      readable: true,
      writable: true,
      allowHalfOpen: true,
    });
    this.#socket.on('data', (part: Buffer) => this.parser.push(part));
    this.#socket.on('end', () => (this.hasEnded = true));
    this.#socket.on('error', (error: NodeJS.ErrnoException) => (this.error = error.code ?? ''));
    pair.closeDescriptor();
  }

  send(...frames: Uint8Array[]): void {
    this.#socket.write(Buffer.concat(frames));
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** Keeps writes until it is told to go on. */
class HeldDevice extends MemoryDevice {
  isHeld = false;
  readonly held: BlockRequest[] = [];

  override submit(request: BlockRequest): void {
    if (this.isHeld && request.operation === WRITE) this.held.push(request);
    else super.submit(request);
  }

  release(): void {
    this.isHeld = false;
    for (const request of this.held.splice(0)) this.submit(request);
  }
}

interface Stage {
  readonly world: World;
  readonly server: NbdServer;
  readonly device: HeldDevice;
  readonly pair: StreamPair;
}

async function onStage(body: (stage: Stage) => Promise<void>): Promise<void> {
  const world = await openNodeWorld({ log: silentLogger, memoryBytes: 64 * MiB });
  try {
    const device = new HeldDevice(world.memory, { sizeBytes: 16 * MiB });
    const opened: BlockDevice = new MemoryDevice(world.memory, { sizeBytes: MiB });
    const open = (): Promise<BlockDevice> => world.clock.sleep(20).then(() => opened);
    const server = await serveNbd(world, {
      exports: [
        { name: 'disk', device },
        { name: 'lazy', open },
      ],
    });
    await body({ world, server, device, pair: world.network.pair!() });
    await server.close();
  } finally {
    await world.close();
  }
}

test('the stream starts with requests, and answers are simple', () =>
  onStage(async ({ world, server, pair }) => {
    const session = server.acceptTransmission(pair.stream, 'disk');
    const client = new Client(pair);
    client.parser.readLengths.set(2n, 4096);
    client.send(requestFrame({ command: CMD_WRITE, cookie: 1, offset: 8192, payload: Buffer.alloc(4096, 7) }));
    client.send(requestFrame({ command: CMD_READ, cookie: 2, offset: 8192, length: 4096 }));
    await eventually(world, 'two replies', () => client.parser.replies.length === 2);
    assert.is(client.parser.of(1).error, 0);
    assert.is(client.parser.of(2).isStructured, false);
    assert.ok(client.parser.of(2).chunks[0]!.payload.equals(Buffer.alloc(4096, 7)));
    assert.is(session.requestCount, 2);
    assert.is(server.connectionCount, 1);
    client.send(requestFrame({ command: CMD_DISC, cookie: 3 }));
    await session.over;
    assert.is(session.isOver, true);
    assert.is(server.connectionCount, 0);
    client.close();
  }));

test('requests that come before the export is open are answered', () =>
  onStage(async ({ world, server, pair }) => {
    server.acceptTransmission(pair.stream, 'lazy');
    const client = new Client(pair);
    client.parser.readLengths.set(1n, 512);
    client.send(requestFrame({ command: CMD_READ, cookie: 1, offset: 0, length: 512 }));
    await eventually(world, 'the reply', () => client.parser.replies.length === 1);
    assert.is(client.parser.of(1).error, 0);
    client.close();
  }));

test('an export that is not there ends the stream', () =>
  onStage(async ({ world, server, pair }) => {
    const session = server.acceptTransmission(pair.stream, 'missing');
    const client = new Client(pair);
    await session.over;
    await eventually(world, 'the end', () => client.hasEnded || client.error !== '');
    client.close();
  }));

test('a client that goes away before the export is open is forgotten', () =>
  onStage(async ({ server, pair }) => {
    const session = server.acceptTransmission(pair.stream, 'lazy');
    new Client(pair).close();
    await session.over;
    assert.is(server.connectionCount, 0);
  }));

test('handOver() answers everything in one burst, cuts the client off, and ends', () =>
  onStage(async ({ world, server, device, pair }) => {
    const session = server.acceptTransmission(pair.stream, 'disk');
    const client = new Client(pair);
    device.isHeld = true;
    const writes = [1, 2, 3].map((cookie) =>
      requestFrame({ command: CMD_WRITE, cookie, offset: cookie * 4096, payload: Buffer.alloc(4096, cookie) }),
    );
    client.send(...writes);
    await eventually(world, 'the requests are in flight', () => device.held.length === 3);
    const handedOver = session.handOver({ refuseInput: () => pair.refuseInput(), timeoutMs: 10_000 });
    client.parser.readLengths.set(4n, 512);
    client.send(requestFrame({ command: CMD_READ, cookie: 4, offset: 0, length: 512 }));
    await eventually(world, 'the read has come', () => session.requestCount === 4);
    await world.clock.sleep(30);
    assert.is(client.parser.replies.length, 0);
    device.release();
    assert.is(await handedOver, true);
    await eventually(world, 'the answers and the end', () => client.parser.replies.length === 4 && client.hasEnded);
    client.send(requestFrame({ command: CMD_READ, cookie: 5, offset: 0, length: 512 }));
    await eventually(world, 'sending fails', () => client.error !== '');
    assert.is(client.error, 'EPIPE');
    client.close();
  }));

for (const [what, cutAt] of [
  ['head', 10],
  ['payload', 30_000],
] as const) {
  test(`handOver() waits for the rest of a request of which the ${what} came in part`, () =>
    onStage(async ({ world, server, pair }) => {
      const session = server.acceptTransmission(pair.stream, 'disk');
      const client = new Client(pair);
      const frame = requestFrame({ command: CMD_WRITE, cookie: 1, offset: 0, payload: Buffer.alloc(64 * 1024, 1) });
      client.send(frame.subarray(0, cutAt));
      await world.clock.sleep(30);
      const handedOver = session.handOver({ refuseInput: () => pair.refuseInput(), timeoutMs: 10_000 });
      await world.clock.sleep(40);
      assert.is(session.isOver, false);
      client.send(frame.subarray(cutAt));
      assert.is(await handedOver, true);
      await eventually(world, 'the answer', () => client.parser.replies.length === 1);
      assert.is(client.parser.of(1).error, 0);
      client.close();
    }));
}

test('bytes that a stream delivers although it is paused are kept until the export is open', async () => {
  const scripted = await new ScriptedServer().open();
  const stream = new ScriptedStream(scripted.memory);
  scripted.server.acceptTransmission(stream, 'disk');
  const client = new ScriptedClient(stream, scripted.turn);
  const frame = requestFrame({ command: CMD_WRITE, cookie: 1, offset: 0, payload: Buffer.alloc(512, 1) });
  client.send(frame.subarray(0, 100));
  client.send(frame.subarray(100));
  for (let round = 0; round < 20; round += 1) await Promise.resolve();
  client.parser.push(stream.takeOutput());
  assert.is(client.parser.of(1).error, 0);
});

test.run();
