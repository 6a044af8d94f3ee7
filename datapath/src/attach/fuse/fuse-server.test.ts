// The FUSE server against a scripted kernel: what it answers, what it refuses, and that it never answers twice or keeps a slot.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MemoryDevice } from '../../block/memory-device.ts';
import type { BlockRequest } from '../../block/device.ts';
import { MiB, ScriptedFuse, fallocateBody, fuseRequest, initBody, ioBody } from './testing/scripted-kernel.ts';

const ROOT = 1;
const FILE = 2;
const [LOOKUP, GETATTR, SETATTR, OPEN, READ, WRITE, FSYNC, INIT, READDIR, FALLOCATE] = [1, 3, 4, 14, 15, 16, 20, 26, 28, 43];

function openFuse(options: { isReadOnly?: boolean } = {}): ScriptedFuse {
  return new ScriptedFuse((memory) => new MemoryDevice(memory, { sizeBytes: MiB, ...options }));
}

test('INIT takes 1 MiB at once, direct I/O in parallel and requests sent again, as far as the kernel offers them', () => {
  const fuse = openFuse();
  const { error, body } = fuse.ask(INIT!, 0, initBody(7, 45, 0x7fffffff, 0xffffffff));
  assert.is(error, 0);
  assert.is(body.length, 64);
  assert.equal([body.readUInt32LE(0), body.readUInt32LE(4), body.readUInt32LE(8)], [7, 40, 131072]);
  assert.is(body.readUInt32LE(12), 0x40448021);
  assert.equal([body.readUInt16LE(16), body.readUInt16LE(18), body.readUInt32LE(20)], [128, 128, MiB]);
  assert.equal([body.readUInt16LE(28), body.readUInt32LE(32)], [256, 128]);
  assert.is(fuse.server.canResend, true);
});

test('INIT of a kernel that cannot send again, or that is too old, is told apart', () => {
  const without = openFuse();
  assert.is(without.ask(INIT!, 0, initBody(7, 39, 0x7fffffff, 0)).body.readUInt32LE(32), 0);
  assert.is(without.server.canResend, false);
  assert.is(openFuse().ask(INIT!, 0, initBody(7, 19, 0, 0)).error, -71);
  assert.is(openFuse().ask(INIT!, 0, Buffer.alloc(4)).error, -71);
});

test('there is one file, with the size of the device, for its owner only', () => {
  const fuse = openFuse();
  const found = fuse.ask(LOOKUP!, ROOT, Buffer.from('v1.disk\0'));
  assert.is(found.body.length, 128);
  assert.is(found.body.readBigUInt64LE(0), 2n);
  assert.is(found.body.readBigUInt64LE(40 + 8), BigInt(MiB));
  assert.is(fuse.ask(LOOKUP!, ROOT, Buffer.from('v1.dis\0')).error, -2);
  assert.is(fuse.ask(LOOKUP!, FILE, Buffer.from('v1.disk\0')).error, -2);
  const file = fuse.ask(GETATTR!, FILE, Buffer.alloc(16)).body;
  assert.is(file.length, 104);
  assert.is(file.readUInt32LE(16 + 60), 0o100600);
  assert.is(fuse.ask(GETATTR!, ROOT, Buffer.alloc(16)).body.readUInt32LE(16 + 60), 0o040700);
  const names = fuse.ask(READDIR!, ROOT, ioBody(0, 4096)).body.toString('latin1');
  assert.ok(names.includes('v1.disk'));
  assert.is(fuse.ask(READDIR!, ROOT, ioBody(3, 4096)).body.length, 0);
});

test('what is written is read; a file ends where the device ends', () => {
  const fuse = openFuse();
  const payload = Buffer.alloc(8192, 0xa5);
  const written = fuse.ask(WRITE!, FILE, ioBody(4096, 8192, payload));
  assert.equal([written.error, written.body.readUInt32LE(0)], [0, 8192]);
  const large = Buffer.alloc(256 * 1024, 0x11);
  assert.is(fuse.ask(WRITE!, FILE, ioBody(MiB - large.length, large.length, large)).body.readUInt32LE(0), large.length);
  assert.equal(fuse.ask(READ!, FILE, ioBody(4096, 8192)).body, payload);
  assert.is(fuse.ask(READ!, FILE, ioBody(MiB - 4096, 65536)).body.length, 4096);
  assert.is(fuse.ask(READ!, FILE, ioBody(MiB, 4096)).body.length, 0);
  assert.is(fuse.ask(FSYNC!, FILE, Buffer.alloc(16)).error, 0);
  assert.is(fuse.memory.takenSlots, 0);
});

test('a hole or a run of zeros reads as zeros; other kinds of allocation are not supported', () => {
  const fuse = openFuse();
  fuse.ask(WRITE!, FILE, ioBody(0, 16384, Buffer.alloc(16384, 1)));
  assert.is(fuse.ask(FALLOCATE!, FILE, fallocateBody(4096, 4096, 3)).error, 0);
  assert.is(fuse.ask(FALLOCATE!, FILE, fallocateBody(8192, 4096, 17)).error, 0);
  const bytes = fuse.ask(READ!, FILE, ioBody(0, 16384)).body;
  assert.equal([bytes[4095], bytes[4096], bytes[12287], bytes[12288]], [1, 0, 0, 1]);
  assert.is(fuse.ask(FALLOCATE!, FILE, fallocateBody(0, 4096, 0)).error, -95);
  assert.is(fuse.ask(FALLOCATE!, FILE, fallocateBody(0, 4096, 8)).error, -95);
});

test('refused: requests past the end, of other lengths than they say, of other files, changes of the size, unknown ones', () => {
  const fuse = openFuse();
  assert.is(fuse.ask(WRITE!, FILE, ioBody(MiB, 4096, Buffer.alloc(4096))).error, -28);
  assert.is(fuse.ask(WRITE!, FILE, ioBody(0, 8192, Buffer.alloc(4096))).error, -22);
  assert.is(fuse.ask(WRITE!, ROOT, ioBody(0, 4096, Buffer.alloc(4096))).error, -22);
  assert.is(fuse.ask(READ!, FILE, ioBody(2n ** 63n, 4096)).error, -22);
  assert.is(fuse.ask(READ!, FILE, ioBody(0, MiB + 1)).error, -22);
  assert.is(fuse.ask(READ!, FILE, Buffer.alloc(8)).error, -22);
  const resize = Buffer.alloc(88);
  resize.writeUInt32LE(8, 0);
  resize.writeBigUInt64LE(4096n, 16);
  assert.is(fuse.ask(SETATTR!, FILE, resize).error, -22);
  resize.writeBigUInt64LE(BigInt(MiB), 16);
  assert.is(fuse.ask(SETATTR!, FILE, resize).error, 0);
  for (const unknown of [0, 9, 46, 52, 4097, 2 ** 32 - 1]) assert.is(fuse.ask(unknown, FILE, Buffer.alloc(64)).error, -38);
});

test('a read-only device can be opened for reading only, and is not written', () => {
  const fuse = openFuse({ isReadOnly: true });
  const flags = Buffer.alloc(8);
  assert.is(fuse.ask(OPEN!, FILE, flags).body.readUInt32LE(8), 0b1100001);
  flags.writeUInt32LE(2, 0);
  assert.is(fuse.ask(OPEN!, FILE, flags).error, -30);
  assert.is(fuse.ask(WRITE!, FILE, ioBody(0, 4096, Buffer.alloc(4096))).error, -1);
  assert.is(fuse.ask(GETATTR!, FILE, Buffer.alloc(16)).body.readUInt32LE(16 + 60), 0o100400);
});

test('FORGET, BATCH_FORGET and INTERRUPT have no reply; a request that is sent again keeps its mark in the reply', () => {
  const fuse = openFuse();
  for (const opcode of [2, 36, 42]) fuse.deliver(fuseRequest(opcode, 8n, FILE, Buffer.alloc(16)));
  fuse.settle();
  assert.equal(fuse.replies, []);
  fuse.deliver(fuseRequest(READ!, (1n << 63n) | 8n, FILE, ioBody(0, 4096)));
  assert.is(fuse.replies[0]!.unique, 9223372036854775816n);
  fuse.settle();
});

test('drain() waits for the device; what is finished after close() is not answered', async () => {
  const slow: BlockRequest[] = [];
  const fuse = new ScriptedFuse((memory) => {
    const device = new MemoryDevice(memory, { sizeBytes: MiB });
    device.submit = (request) => void slow.push(request);
    return device;
  });
  fuse.deliver(fuseRequest(READ!, 4n, FILE, ioBody(0, 4096)));
  let isDrained = false;
  const draining = fuse.server.drain().then(() => (isDrained = true));
  await Promise.resolve();
  assert.is(isDrained, false);
  slow.shift()!.finish(0);
  fuse.settle();
  await draining;
  assert.is(fuse.replies.length, 1);
  fuse.deliver(fuseRequest(WRITE!, 6n, FILE, ioBody(0, 4096, Buffer.alloc(4096))));
  await fuse.server.close();
  slow.shift()!.finish(0);
  fuse.settle();
  assert.is(fuse.replies.length, 1);
  assert.is(fuse.memory.takenSlots, 0);
});

test('reads wait for memory in the kernel: the channel rests, and goes on when there is some', () => {
  const fuse = openFuse();
  const hoard: number[] = [];
  for (let slot = fuse.memory.acquireSlot(MiB); slot !== 0; slot = fuse.memory.acquireSlot(MiB)) hoard.push(slot);
  fuse.memory.releaseSlot(hoard.pop()!);
  fuse.deliver(fuseRequest(READ!, 4n, FILE, ioBody(0, MiB)));
  // The slot of the request itself is free again, and the only one.
  fuse.settle();
  assert.is(fuse.replies.length, 1);
  assert.is(fuse.isPaused, false);
  for (const slot of hoard) fuse.memory.releaseSlot(slot);
});

test('500 requests at once: the channel rests while 256 are in flight, and each is answered once', () => {
  const waiting: BlockRequest[] = [];
  const fuse = new ScriptedFuse((memory) => {
    const device = new MemoryDevice(memory, { sizeBytes: MiB });
    const submit = device.submit.bind(device);
    device.submit = (request) => void waiting.push(request);
    setSubmit = submit;
    return device;
  });
  let sent = 0;
  while (sent < 500) {
    if (!fuse.isPaused) fuse.deliver(fuseRequest(READ!, BigInt(2 + 2 * sent++), FILE, ioBody(0, 4096)));
    else for (const request of waiting.splice(0)) setSubmit(request);
    if (fuse.isPaused) fuse.settle();
  }
  for (const request of waiting.splice(0)) setSubmit(request);
  fuse.settle();
  assert.is(new Set(fuse.replies.map(({ unique }) => unique)).size, 500);
  assert.is(fuse.replies.length, 500);
  assert.is(fuse.memory.takenSlots, 0);
});

let setSubmit: (request: BlockRequest) => void = () => {};

test.run();
