// The server on real sockets.
// ports: both
import { connect, type Socket } from 'node:net';
import { mkdtempSync, rmSync, existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MemoryDevice } from '../block/memory-device.ts';
import { silentLogger } from '../world/log.ts';
import { openNodeWorld } from '../world/node/node-world.ts';
import type { World } from '../world/world.ts';
import { serveNbd, type NbdLimits, type NbdServer } from './server.ts';
import { ReplyParser, hello, requestFrame } from './testing/client-frames.ts';

const MiB = 1024 * 1024;
const HANDSHAKE_BYTES = 18 + 20 + 12 + 20;
const DEADLINE_MS = 10_000;

class RawClient {
  readonly socket: Socket;
  readonly parser = new ReplyParser();
  /** What the handshake sent. */
  greeting = Buffer.alloc(0);
  isClosed = false;

  constructor(path: string) {
    this.socket = connect(path);
    this.socket.on('data', (bytes: Buffer) => this.#take(bytes));
    this.socket.on('error', () => {});
    this.socket.on('close', () => (this.isClosed = true));
  }

  #take(bytes: Buffer): void {
    const missing = HANDSHAKE_BYTES - this.greeting.length;
    this.greeting = Buffer.concat([this.greeting, bytes.subarray(0, missing)]);
    this.parser.push(bytes.subarray(missing > 0 ? missing : 0));
  }
}

async function until(what: string, isReached: () => boolean): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS;
  while (!isReached()) {
    if (performance.now() > deadline) throw new Error(`waited ${DEADLINE_MS / 1000} s in vain for ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function withServer(
  limits: Partial<NbdLimits>,
  body: (server: NbdServer, path: string, world: World) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'nbd-server-'));
  const path = join(folder, 'nbd.sock');
  const world = await openNodeWorld({ log: silentLogger, memoryBytes: 64 * MiB });
  const device = new MemoryDevice(world.memory, { sizeBytes: 64 * MiB });
  const server = await serveNbd(world, { address: { kind: 'unix', path }, exports: [{ name: 'disk', device }], limits });
  try {
    await body(server, path, world);
  } finally {
    await server.close();
    assert.is(existsSync(path), false);
    await world.close();
    rmSync(folder, { recursive: true });
  }
}

test('two clients write and read at the same time, in every size', () =>
  withServer({}, async (server, path) => {
    const clients = [new RawClient(path), new RawClient(path)];
    const sizes = [1, 4096, 16_384, 20_000, 300_000, 3 * MiB + 5];
    for (const [index, client] of clients.entries()) {
      client.socket.write(hello());
      sizes.forEach((size, at) => {
        const offset = index * 32 * MiB + at * 4 * MiB;
        client.parser.readLengths.set(BigInt(100 + at), size);
        client.socket.write(requestFrame({ command: 1, cookie: at, offset, payload: Buffer.alloc(size, index * 16 + at + 1) }));
      });
    }
    for (const client of clients) await until('the writes', () => client.parser.replies.length === sizes.length);
    for (const [index, client] of clients.entries()) {
      sizes.forEach((size, at) => {
        client.socket.write(
          requestFrame({ command: 0, cookie: 100 + at, offset: index * 32 * MiB + at * 4 * MiB, length: size }),
        );
      });
    }
    for (const [index, client] of clients.entries()) {
      await until('the reads', () => client.parser.replies.length === 2 * sizes.length);
      sizes.forEach((size, at) => {
        const data = Buffer.concat(client.parser.of(100 + at).chunks.map(({ payload }) => payload));
        assert.is(Buffer.compare(data, Buffer.alloc(size, index * 16 + at + 1)), 0, `client ${index}, ${size} bytes`);
      });
    }
    assert.is(server.connectionCount, 2);
    clients[0]!.socket.write(requestFrame({ command: 2, cookie: 999 }));
    await until('the soft disconnect', () => clients[0]!.isClosed && server.connectionCount === 1);
    clients[1]!.socket.destroy();
    await until('the hard disconnect', () => server.connectionCount === 0);
  }));

test('a client that never reads does not stop the others, and costs bounded memory', () =>
  withServer({}, async (_server, path, world) => {
    const deaf = new RawClient(path);
    deaf.socket.write(hello());
    await until('its handshake', () => deaf.greeting.length === HANDSHAKE_BYTES);
    deaf.socket.pause();
    for (let cookie = 0; cookie < 2000; cookie++) deaf.socket.write(requestFrame({ command: 0, cookie, length: MiB }));
    const healthy = new RawClient(path);
    healthy.socket.write(hello());
    for (let cookie = 0; cookie < 50; cookie++) {
      healthy.parser.readLengths.set(BigInt(cookie), 4096);
      healthy.socket.write(requestFrame({ command: 0, cookie, length: 4096 }));
    }
    await until('the healthy one', () => healthy.parser.replies.length === 50);
    assert.ok(world.memory.acquireSlot(MiB) !== 0, 'the deaf client holds all the memory');
    deaf.socket.destroy();
    healthy.socket.destroy();
  }));

test('a client that does not finish its handshake is disconnected', () =>
  withServer({ handshakeTimeoutMs: 50 }, async (server, path) => {
    const idle = new RawClient(path);
    await until('the disconnection', () => idle.isClosed);
    await until('the connection to be forgotten', () => server.connectionCount === 0);
  }));

test('close() ends idle clients and lets go of the socket', async () => {
  let client: RawClient | null = null;
  await withServer({}, async (_server, path) => {
    client = new RawClient(path);
    client.socket.write(hello());
    await until('the handshake', () => client!.greeting.length === HANDSHAKE_BYTES);
  });
  await until('the end', () => client!.isClosed);
});

test.run();
