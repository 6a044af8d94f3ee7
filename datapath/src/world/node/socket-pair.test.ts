// Network.pair on both networks: one end is a stream, the other a descriptor, here held by a socket of Node as the kernel would hold it.
// needs: native
// ports: both
import { Socket } from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { silentLogger } from '../log.ts';
import type { StreamPair } from '../network.ts';
import { RecordingHandler, eventually, fillPattern, patternByte } from '../testing/contract-world.ts';
import type { World } from '../world.ts';
import { loadNativeAddon, type LoadedAddon } from './native-addon.ts';
import { openNodeWorld } from './node-world.ts';

const addon = loadNativeAddon() as LoadedAddon;

/** Its duplicate keeps the descriptor's open file, as the kernel's reference does. */
class Peer {
  readonly socket: Socket;
  bytes = Buffer.alloc(0);
  hasEnded = false;
  error = '';

  constructor(descriptor: number) {
    this.socket = new Socket({ fd: addon.duplicateDescriptor(descriptor), readable: true, writable: true, allowHalfOpen: true });
    this.socket.on('data', (part: Buffer) => (this.bytes = Buffer.concat([this.bytes, part])));
    this.socket.on('end', () => (this.hasEnded = true));
    this.socket.on('error', (error: NodeJS.ErrnoException) => (this.error = error.code ?? ''));
  }
}

async function withPair(body: (world: World, pair: StreamPair, received: RecordingHandler) => Promise<void>): Promise<void> {
  const world = await openNodeWorld({ log: silentLogger, memoryBytes: 32 * 1024 * 1024 });
  try {
    const pair = world.network.pair!();
    const received = new RecordingHandler(world);
    pair.stream.handler = received;
    await body(world, pair, received);
  } finally {
    await world.close();
  }
}

function pattern(length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, at) => patternByte(at)));
}

test('bytes go both ways', () =>
  withPair(async (world, pair, received) => {
    const peer = new Peer(pair.descriptor);
    peer.socket.write(pattern(300_000));
    fillPattern(world, pair.stream.reserve(20_000), 20_000, 0);
    await eventually(world, 'everything arrives', () => received.receivedBytes === 300_000 && peer.bytes.length === 20_000);
    assert.is(received.mismatchAt, -1);
    assert.ok(peer.bytes.equals(pattern(20_000)));
    pair.closeDescriptor();
    pair.stream.destroy();
    await eventually(world, 'the peer sees the end', () => peer.hasEnded || peer.error !== '');
    peer.socket.destroy();
  }));

test('a descriptor that nobody took ends the stream when it is closed', () =>
  withPair(async (world, pair, received) => {
    assert.is(received.isClosed, false);
    pair.closeDescriptor();
    pair.closeDescriptor();
    await eventually(world, 'the stream ends', () => received.isClosed);
    assert.equal(received.events, ['closed by the peer']);
  }));

test('after refuseInput() the peer cannot send, what it had sent arrives, and what was queued reaches it', () =>
  withPair(async (world, pair, received) => {
    const peer = new Peer(pair.descriptor);
    peer.socket.write(pattern(1000));
    await eventually(world, 'the bytes arrive', () => received.receivedBytes === 1000);
    fillPattern(world, pair.stream.reserve(5000), 5000, 0);
    pair.refuseInput();
    pair.stream.end();
    await eventually(world, 'the stream is closed', () => received.isClosed);
    await eventually(world, 'the answer is there', () => peer.bytes.length === 5000);
    assert.ok(peer.bytes.equals(pattern(5000)));
    peer.socket.write('x');
    await eventually(world, 'sending fails', () => peer.error !== '');
    assert.is(peer.error, 'EPIPE');
    pair.refuseInput();
    peer.socket.destroy();
  }));

test.run();
