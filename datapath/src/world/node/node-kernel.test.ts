// The kernel port, with the control family of generic netlink, which every kernel has.
// needs: native mkfifo
// ports: both
import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { silentLogger } from '../log.ts';
import { codeOf, eventually } from '../testing/contract-world.ts';
import type { World } from '../world.ts';
import { openNodeWorld } from './node-world.ts';

const folder = mkdtempSync(join(tmpdir(), 'node-kernel-'));

/** CTRL_CMD_GETFAMILY for a name of 7 characters at most, with sequence number 5 and a wish for an acknowledgement. */
function familyRequest(name: string): Uint8Array {
  const bytes = Buffer.alloc(16 + 4 + 12);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeUInt16LE(16, 4);
  bytes.writeUInt16LE(5, 6);
  bytes.writeUInt32LE(5, 8);
  bytes.set([3, 2], 16);
  bytes.writeUInt16LE(4 + name.length + 1, 20);
  bytes.writeUInt16LE(2, 22);
  bytes.write(name, 24);
  return bytes;
}

async function inWorld(body: (world: World) => Promise<void>): Promise<void> {
  const world = await openNodeWorld({ log: silentLogger, memoryBytes: 16 * 1024 * 1024 });
  try {
    await body(world);
  } finally {
    await world.close();
  }
}

test.after(() => rmSync(folder, { recursive: true }));

test('an exchange brings the answer and then the acknowledgement, and leaves no descriptor', () =>
  inWorld(async (world) => {
    const { kernel } = world;
    await kernel!.exchangeNetlink(familyRequest('nlctrl'));
    const before = readdirSync('/proc/self/fd').length;
    const answers = await Promise.all(Array.from({ length: 20 }, () => kernel!.exchangeNetlink(familyRequest('nlctrl'))));
    for (const answer of answers) {
      const bytes = Buffer.from(answer);
      const first = bytes.readUInt32LE(0);
      assert.is(bytes.readUInt16LE(4), 16);
      assert.is(bytes.subarray(24, 30).toString(), 'nlctrl');
      assert.is(bytes.readUInt16LE(first + 4), 2);
      assert.is(bytes.readInt32LE(first + 16), 0);
    }
    await eventually(world, 'no more descriptors than before', () => readdirSync('/proc/self/fd').length <= before);
  }));

test('what the kernel refuses comes as an acknowledgement with an errno', () =>
  inWorld(async ({ kernel }) => {
    const bytes = Buffer.from(await kernel!.exchangeNetlink(familyRequest('nobody')));
    assert.is(bytes.readUInt16LE(4), 2);
    assert.is(bytes.readInt32LE(16), -2);
  }));

test('guardMemory() locks I/O memory where it may, and says what it may not', () =>
  inWorld(async ({ kernel, memory }) => {
    memory.bytes.fill(1, 0, 2 * 1024 * 1024);
    const lacks = kernel!.guardMemory();
    for (const lack of lacks)
      assert.match(lack, /^(allocations may wait for devices|I\/O memory may be paged out) \(E[A-Z]+: CAP_/);
    if (!lacks.some((lack) => lack.startsWith('I/O memory'))) {
      const locked = /^VmLck:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))![1];
      assert.ok(Number(locked) > 1024, `${locked} kB are locked`);
    }
  }));

test('writeAttribute() writes to files that are there', () =>
  inWorld(async ({ kernel }) => {
    const path = join(folder, 'attribute');
    assert.is(await codeOf(kernel!.writeAttribute(path, '1')), 'NOT_FOUND');
    writeFileSync(path, 'old text');
    await kernel!.writeAttribute(path, 'new');
    assert.is(readFileSync(path, 'utf8'), 'new text');
    assert.is(await codeOf(kernel!.writeAttribute(path, 'x'.repeat(256))), 'INVALID_ARGUMENT');
  }));

test('a claim that is refused sends nothing', () =>
  inWorld(async ({ kernel }) => {
    assert.is(await codeOf(kernel!.exchangeNetlink(familyRequest('nlctrl'), { claim: join(folder, 'missing') })), 'NOT_FOUND');
  }));

test('a call that is stuck in the kernel holds neither the loop nor any socket of the process', () =>
  inWorld(async (world) => {
    const fifo = join(folder, 'fifo');
    execFileSync('mkfifo', [fifo]);
    const pair = world.network.pair!();
    let isClosed = false;
    pair.stream.handler = { onBytes() {}, onDirect() {}, onClosed: () => void (isClosed = true) };
    // Opening it waits for a writer.
    let isAnswered = false;
    const stuck = world.kernel!.exchangeNetlink(familyRequest('nlctrl'), { claim: fifo }).finally(() => (isAnswered = true));
    await world.clock.sleep(100);
    pair.closeDescriptor();
    await eventually(world, 'the other end of the pair is gone', () => isClosed, 2000);
    assert.is(isAnswered, false);
    closeSync(openSync(fifo, constants.O_WRONLY));
    assert.ok((await stuck).length > 0);
  }));

test('a group can be heard and left', () =>
  inWorld(async ({ kernel }) => {
    const listener = kernel!.listenNetlink(16, () => {});
    listener.close();
    listener.close();
    kernel!.listenNetlink(16, () => {});
  }));

test.run();
