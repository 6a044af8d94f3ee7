import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { BlockDevice, BlockExtent, BlockRequest } from '../block/device.ts';
import { MemoryDevice } from '../block/memory-device.ts';
import type { Arena } from '../world/arena.ts';
import { EIO } from '../world/completion.ts';
import { requestFrame } from './testing/client-frames.ts';
import { MiB, ScriptedServer } from './testing/scripted-server.ts';

const [READ, WRITE, DISC, FLUSH, TRIM, CACHE, ZEROES, STATUS] = [0, 1, 2, 3, 4, 5, 6, 7];
const [FUA, NO_HOLE, DF, REQ_ONE] = [1, 2, 4, 8];

function pattern(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at++) bytes[at] = (at * 7 + (at >> 8) * 13 + seed) & 0xff;
  return bytes;
}

/** Holds requests until the test lets them go, in the order that the test wants. */
class HeldDevice extends MemoryDevice {
  readonly held: BlockRequest[] = [];
  isHolding = false;
  /** Requests that touch this offset fail with EIO. */
  badOffset = -1;

  override submit(request: BlockRequest): void {
    if (this.isHolding) this.held.push(request);
    else this.letGo(request);
  }

  letGo(request: BlockRequest): void {
    const isBad = this.badOffset >= request.offset && this.badOffset < request.offset + request.length;
    if (isBad) request.finish(EIO);
    else super.submit(request);
  }
}

/** Notes what every request looks like when it is submitted. */
class RecordingDevice extends MemoryDevice {
  readonly seen: string[] = [];

  override submit(request: BlockRequest): void {
    const { operation, flags, offset, length } = request;
    this.seen.push(`operation ${operation} flags ${flags} at ${offset}+${length}`);
    super.submit(request);
  }
}

async function heldServer(options: { maxRequests?: number } = {}): Promise<{ server: ScriptedServer; device: HeldDevice }> {
  const make = (memory: Arena): BlockDevice => new HeldDevice(memory, { sizeBytes: 64 * MiB });
  const server = await new ScriptedServer({ device: make, limits: options }).open();
  return { server, device: server.device as HeldDevice };
}

test('golden frames: a write and a read with simple replies', async () => {
  const client = await (await new ScriptedServer().open()).connect();
  client.send(Buffer.from('256095130001000100000000000000aa000000000000100000000004deadbeef', 'hex'));
  client.send(Buffer.from('256095130000000000000000000000bb0000000000000ffe00000006', 'hex'));
  assert.is(
    Buffer.from(client.stream.takeOutput()).toString('hex'),
    '674466980000000000000000000000aa' + '674466980000000000000000000000bb0000deadbeef',
  );
});

test('golden frames: structured data, empty read, error and map', async () => {
  const client = await (await new ScriptedServer().open()).connect({ blockStatus: true });
  client.send(Buffer.from('25609513000000000102030405060708000000000000000200000003', 'hex'));
  client.send(Buffer.from('25609513000000000000000000000002000000000000000000000000', 'hex'));
  client.send(Buffer.from('25609513000000000000000000000003000000000400000000000001', 'hex'));
  client.send(Buffer.from('25609513000000070000000000000004000000000000000000100000', 'hex'));
  await Promise.resolve();
  await Promise.resolve();
  assert.is(
    Buffer.from(client.stream.takeOutput()).toString('hex'),
    '668e33ef0001000101020304050607080000000b0000000000000002000000' +
      '668e33ef00010000000000000000000200000000' +
      '668e33ef000180010000000000000003000000060000001600' +
      '00' +
      '668e33ef0001000500000000000000040000000c000000010010000000000003',
  );
});

test('every split of the stream gives the same replies', async () => {
  const data = pattern(20_000, 1);
  const frames = Buffer.concat([
    requestFrame({ command: WRITE, cookie: 1, offset: 100, payload: data }),
    requestFrame({ command: READ, cookie: 2, offset: 0, length: 20_200 }),
    requestFrame({ command: WRITE, cookie: 3, offset: 2 ** 40, payload: data.subarray(0, 999) }),
    requestFrame({ command: FLUSH, cookie: 4 }),
    requestFrame({ command: READ, cookie: 5, offset: 0, length: 0 }),
    requestFrame({ command: WRITE, cookie: 6, offset: 0, length: 0 }),
  ]);
  for (const step of [1, 2, 3, 5, 7, 13, 27, 28, 29, 100, 1000, 8191, 8193, 15_000, 1_000_000]) {
    const client = await (await new ScriptedServer().open()).connect({ structured: true });
    for (let at = 0; at < frames.length; at += step) client.send(frames.subarray(at, at + step));
    client.settle();
    const { parser } = client;
    const errors = [1, 2, 3, 4, 5, 6].map((cookie) => parser.of(cookie).error);
    assert.equal(errors, [0, 0, 28, 0, 0, 0], `split into ${step}`);
    const read = parser.of(2).chunks[0]!.payload.subarray(8);
    assert.is(Buffer.compare(read.subarray(100, 20_100), data), 0, `split into ${step}`);
  }
});

test('a large payload is received straight into its slot', async () => {
  const client = await (await new ScriptedServer().open()).connect();
  const data = pattern(300_000, 5);
  const frame = requestFrame({ command: WRITE, cookie: 1, offset: 8192, payload: data });
  client.send(frame.subarray(0, 100));
  assert.is(client.stream.isReceivingDirectly, true);
  client.send(frame.subarray(100), requestFrame({ command: READ, cookie: 2, offset: 8192, length: 300_000 }));
  client.parser.readLengths.set(2n, 300_000);
  client.settle();
  assert.is(Buffer.compare(client.parser.of(2).chunks[0]!.payload, data), 0);
});

for (const structured of [false, true]) {
  const kind = structured ? 'structured' : 'simple';

  test(`5 MiB go in and out in pieces, beside small requests (${kind} replies)`, async () => {
    const scripted = await new ScriptedServer().open();
    const client = await scripted.connect({ structured });
    const data = pattern(5 * MiB + 3, 3);
    client.parser.readLengths.set(2n, data.length).set(3n, 16);
    client.send(requestFrame({ command: WRITE, cookie: 1, offset: 5, payload: data }));
    client.send(requestFrame({ command: READ, cookie: 2, offset: 5, length: data.length }));
    client.send(requestFrame({ command: READ, cookie: 3, offset: 5, length: 16 }));
    client.settle();
    assert.is(client.parser.of(1).error, 0);
    const pieces = client.parser.of(2).chunks.map(({ payload }) => payload.subarray(structured ? 8 : 0));
    assert.is(Buffer.compare(Buffer.concat(pieces), data), 0);
    assert.is(client.parser.of(3).error, 0);
    assert.is(scripted.memory.takenSlots, 0);
  });

  test(`an error in a large read is told as far as the protocol can (${kind} replies)`, async () => {
    const { server, device } = await heldServer();
    const client = await server.connect({ structured });
    device.badOffset = 3 * MiB + 100;
    client.parser.readLengths.set(1n, 4 * MiB).set(2n, 4 * MiB);
    client.send(requestFrame({ command: READ, cookie: 1, offset: 3 * MiB, length: 4 * MiB }));
    client.send(requestFrame({ command: READ, cookie: 2, offset: 0, length: 4 * MiB }));
    client.settle();
    assert.is(client.parser.of(1).error, 5);
    if (structured) {
      assert.is(client.parser.of(2).error, 5);
      assert.is(client.parser.of(2).chunks.at(-1)!.type, 0x8002);
      assert.is(client.stream.isDestroyed, false);
    } else {
      assert.is(client.stream.isDestroyed, true, 'an error in the middle of a simple reply must end the connection');
      client.stream.close();
    }
    assert.is(server.memory.takenSlots, 0);
  });
}

test('the first error of a large write is its answer', async () => {
  const { server, device } = await heldServer();
  const client = await server.connect();
  device.badOffset = 2 * MiB + 5;
  client.send(requestFrame({ command: WRITE, cookie: 1, offset: 0, payload: pattern(4 * MiB, 9) }));
  client.send(requestFrame({ command: WRITE, cookie: 2, offset: 0, payload: pattern(16, 9) }));
  client.settle();
  assert.is(client.parser.of(1).error, 5);
  assert.is(client.parser.of(2).error, 0);
  assert.is(server.memory.takenSlots, 0);
});

test('replies leave in the order in which the device finishes', async () => {
  const { server, device } = await heldServer();
  const client = await server.connect();
  device.isHolding = true;
  for (const cookie of [1, 2, 3])
    client.send(requestFrame({ command: WRITE, cookie, offset: cookie * 512, payload: pattern(512, cookie) }));
  for (const index of [1, 2, 0]) device.letGo(device.held[index]!);
  client.settle();
  assert.equal(
    client.parser.replies.map(({ cookie }) => cookie),
    [2n, 3n, 1n],
  );
});

test('beyond the request limit the client is made to wait, and nothing is lost', async () => {
  const { server, device } = await heldServer({ maxRequests: 4 });
  const client = await server.connect();
  device.isHolding = true;
  const frames = Array.from({ length: 50 }, (_, index) => {
    return requestFrame({ command: WRITE, cookie: index, offset: index * 100, payload: pattern(100, index) });
  });
  client.send(...frames);
  assert.is(device.held.length, 4);
  assert.is(client.stream.isPaused, true);
  while (device.held.length > 0) device.letGo(device.held.shift()!);
  client.settle();
  assert.is(client.parser.replies.length, 50);
  assert.is(client.stream.isPaused, false);
  device.isHolding = false;
  client.parser.readLengths.set(99n, 5000);
  client.send(requestFrame({ command: READ, cookie: 99, offset: 0, length: 5000 }));
  client.settle();
  const whole = Buffer.concat(Array.from({ length: 50 }, (_, index) => pattern(100, index)));
  assert.is(Buffer.compare(client.parser.of(99).chunks[0]!.payload, whole), 0);
});

test('with no slot free a connection waits for one', async () => {
  const scripted = await new ScriptedServer({ memoryBytes: 24 * MiB }).open();
  const client = await scripted.connect({ structured: true });
  const taken: number[] = [];
  for (let slot = scripted.memory.acquireSlot(MiB); slot !== 0; slot = scripted.memory.acquireSlot(MiB)) taken.push(slot);
  client.send(requestFrame({ command: WRITE, cookie: 1, offset: 0, payload: pattern(200_000, 1) }));
  client.send(requestFrame({ command: READ, cookie: 2, offset: 0, length: 200_000 }));
  client.send(requestFrame({ command: READ, cookie: 3, offset: 0, length: 3 * MiB }));
  client.settle();
  assert.is(client.parser.replies.length, 0);
  assert.is(client.stream.isPaused, true);
  scripted.memory.releaseSlot(taken.pop()!);
  client.settle();
  assert.is(Buffer.compare(client.parser.of(2).chunks[0]!.payload.subarray(8), pattern(200_000, 1)), 0);
  assert.is(client.parser.of(3).error, 0);
  assert.is(client.stream.isPaused, false);
  assert.is(scripted.memory.takenSlots, taken.length);
});

test('a congested stream is not read from until it drains', async () => {
  const client = await (await new ScriptedServer().open()).connect();
  client.stream.isCongested = true;
  client.send(requestFrame({ command: FLUSH, cookie: 1 }));
  client.settle();
  assert.is(client.parser.replies.length, 0);
  client.stream.isCongested = false;
  client.stream.handler!.onDrain!();
  client.settle();
  assert.is(client.parser.of(1).error, 0);
});

test('refused writes are consumed whole and the connection goes on', async () => {
  const client = await (await new ScriptedServer().open()).connect();
  client.send(requestFrame({ command: WRITE, cookie: 1, offset: 0, length: 33 * MiB, payload: Buffer.alloc(33 * MiB) }));
  client.send(requestFrame({ command: WRITE, cookie: 2, flags: DF, offset: 0, payload: Buffer.alloc(4096) }));
  client.send(requestFrame({ command: WRITE, cookie: 3, offset: 64 * MiB - 1, payload: Buffer.alloc(4096) }));
  client.send(requestFrame({ command: CACHE, cookie: 4, offset: 0, length: 4096 }));
  client.send(requestFrame({ command: 99, cookie: 5, offset: 0, length: 4096 }));
  client.settle();
  assert.equal(
    client.parser.replies.map(({ error }) => error),
    [22, 22, 28, 0, 22],
  );
});

test('zeros, trims and maps; REQ_ONE gives one extent', async () => {
  const scripted = await new ScriptedServer().open();
  const client = await scripted.connect({ blockStatus: true });
  client.send(requestFrame({ command: WRITE, cookie: 1, offset: 0, payload: pattern(MiB, 1) }));
  client.send(requestFrame({ command: TRIM, cookie: 2, offset: 0, length: MiB / 2 }));
  client.send(requestFrame({ command: ZEROES, cookie: 3, offset: 2 * MiB, length: MiB, flags: NO_HOLE }));
  client.send(requestFrame({ command: READ, cookie: 4, offset: MiB / 2 - 4, length: 8 }));
  client.send(requestFrame({ command: STATUS, cookie: 5, offset: 0, length: 4 * MiB }));
  client.send(requestFrame({ command: STATUS, cookie: 6, offset: 0, length: 4 * MiB, flags: REQ_ONE }));
  for (let round = 0; round < 5; round++) await Promise.resolve();
  client.settle();
  const expected = Buffer.concat([Buffer.alloc(4), pattern(MiB, 1).subarray(MiB / 2, MiB / 2 + 4)]);
  assert.is(client.parser.of(4).chunks[0]!.payload.subarray(8).toString('hex'), expected.toString('hex'));
  assert.is(
    client.parser.of(5).chunks[0]!.payload.toString('hex'),
    '00000001' + '0008000000000003' + '0008000000000000' + '0010000000000003' + '0010000000000000' + '0010000000000003',
  );
  assert.is(client.parser.of(6).chunks[0]!.payload.toString('hex'), '000000010008000000000003');
});

test('FUA of writes, trims and zeros reaches the device, in every piece of a large write; without it nothing does', async () => {
  const scripted = await new ScriptedServer({
    device: (memory) => new RecordingDevice(memory, { sizeBytes: 64 * MiB }),
  }).open();
  const client = await scripted.connect();
  for (const flags of [FUA, 0]) {
    client.send(requestFrame({ command: WRITE, flags, cookie: 1 + flags, offset: 512, payload: pattern(100, 1) }));
    client.send(requestFrame({ command: WRITE, flags, cookie: 3 + flags, offset: 4096, payload: pattern(300_000, 1) }));
    client.send(requestFrame({ command: WRITE, flags, cookie: 5 + flags, offset: MiB, payload: pattern(2 * MiB + 7, 1) }));
    client.send(requestFrame({ command: TRIM, flags, cookie: 7 + flags, offset: 0, length: 1024 }));
    client.send(requestFrame({ command: ZEROES, flags, cookie: 9 + flags, offset: 0, length: 2048 }));
    client.send(requestFrame({ command: ZEROES, flags: flags | NO_HOLE, cookie: 11 + flags, offset: 0, length: 3072 }));
  }
  client.settle();
  assert.equal(
    client.parser.replies.map(({ error }) => error),
    new Array<number>(12).fill(0),
  );
  assert.equal((scripted.device as RecordingDevice).seen, [
    'operation 2 flags 1 at 512+100',
    'operation 2 flags 1 at 4096+300000',
    'operation 2 flags 1 at 1048576+1048576',
    'operation 2 flags 1 at 2097152+1048576',
    'operation 2 flags 1 at 3145728+7',
    'operation 4 flags 1 at 0+1024',
    'operation 5 flags 1 at 0+2048',
    'operation 5 flags 3 at 0+3072',
    'operation 2 flags 0 at 512+100',
    'operation 2 flags 0 at 4096+300000',
    'operation 2 flags 0 at 1048576+1048576',
    'operation 2 flags 0 at 2097152+1048576',
    'operation 2 flags 0 at 3145728+7',
    'operation 4 flags 0 at 0+1024',
    'operation 5 flags 0 at 0+2048',
    'operation 5 flags 2 at 0+3072',
  ]);
});

test('DISC answers what is in flight, then ends the stream', async () => {
  const { server, device } = await heldServer();
  const client = await server.connect();
  device.isHolding = true;
  client.send(
    requestFrame({ command: FLUSH, cookie: 1 }),
    requestFrame({ command: DISC, cookie: 2 }),
    Buffer.from('whatever follows'),
  );
  assert.is(client.stream.isEnded, false);
  device.letGo(device.held[0]!);
  client.settle();
  assert.is(client.parser.of(1).error, 0);
  assert.is(client.stream.isEnded, true);
  assert.is(server.server.connectionCount, 1);
  client.stream.close();
  assert.is(server.server.connectionCount, 0);
});

test('a wrong magic ends the connection at once', async () => {
  const client = await (await new ScriptedServer().open()).connect();
  client.send(Buffer.alloc(28, 0x25));
  assert.is(client.stream.isDestroyed, true);
});

test('a client that vanishes in the middle of everything leaves nothing behind', async () => {
  const { server, device } = await heldServer();
  const client = await server.connect();
  client.send(requestFrame({ command: READ, cookie: 1, offset: 0, length: 100_000 }));
  device.isHolding = true;
  client.send(requestFrame({ command: READ, cookie: 2, offset: 0, length: 4 * MiB }));
  client.send(requestFrame({ command: READ, cookie: 3, offset: 0, length: 4096 }));
  client.send(requestFrame({ command: WRITE, cookie: 4, offset: 0, payload: pattern(3 * MiB, 4) }).subarray(0, 2.5 * MiB));
  client.stream.close();
  assert.is(server.server.connectionCount, 1, 'the device still works for it');
  while (device.held.length > 0) device.letGo(device.held.shift()!);
  assert.is(server.server.connectionCount, 0);
  assert.is(server.memory.takenSlots, 0);
});

test('a client that vanishes while a large read is being sent is not written to any more', async () => {
  const scripted = await new ScriptedServer().open();
  const client = await scripted.connect();
  client.send(requestFrame({ command: READ, cookie: 1, offset: 0, length: 32 * MiB }));
  client.send(requestFrame({ command: FLUSH, cookie: 2 }));
  client.stream.close();
  assert.is(client.stream.queuedBytes, 0);
  assert.is(scripted.server.connectionCount, 0);
  assert.is(scripted.memory.takenSlots, 0);
});

test('close() answers what is in flight, gives up a half-received write and disconnects', async () => {
  const { server, device } = await heldServer();
  const client = await server.connect();
  device.isHolding = true;
  client.send(requestFrame({ command: FLUSH, cookie: 1 }));
  client.send(requestFrame({ command: WRITE, cookie: 2, offset: 0, payload: pattern(100_000, 4) }).subarray(0, 50_000));
  let isClosed = false;
  const closing = server.server.close().then(() => (isClosed = true));
  for (let round = 0; round < 5; round++) await Promise.resolve();
  assert.is(client.stream.isEnded, false);
  client.send(requestFrame({ command: FLUSH, cookie: 3 }));
  device.letGo(device.held.shift()!);
  client.settle();
  assert.is(client.stream.isEnded, true);
  assert.is(client.parser.of(1).error, 0);
  assert.is(isClosed, false);
  client.stream.close();
  await closing;
  assert.is(client.parser.replies.length, 1);
  assert.is(server.memory.takenSlots, 0);
});

test('a device whose map fails answers EIO', async () => {
  class Mapless extends MemoryDevice {
    override async extents(): Promise<readonly BlockExtent[]> {
      throw new Error('no map today');
    }
  }
  const server = await new ScriptedServer({ device: (memory) => new Mapless(memory, { sizeBytes: MiB }) }).open();
  const client = await server.connect({ blockStatus: true });
  client.send(requestFrame({ command: STATUS, cookie: 1, offset: 0, length: 512 }));
  for (let round = 0; round < 5; round++) await Promise.resolve();
  client.settle();
  assert.is(client.parser.of(1).error, 5);
});

test.run();
