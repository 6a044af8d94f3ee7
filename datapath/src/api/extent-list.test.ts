// The list_extents body: what goes in comes out, and nothing malformed is believed.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PfError } from '../base/errors.ts';
import { ExtentListWriter, MAX_EXTENTS_IN_LIST, decodeExtentList } from './extent-list.ts';

const CRCS = Uint32Array.from({ length: 16 }, (_, block) => 0xf0000000 + block);

test('one extent has the layout of version 1', () => {
  const writer = new ExtentListWriter();
  writer.add(7, 1023, 0b1000_0000_0000_0010, 3, 2 ** 40 + 5, CRCS, 0);
  const bytes = writer.finish(9, 8);
  assert.is(bytes.length, 108);
  const hex = Buffer.from(bytes).toString('hex');
  assert.is(hex.slice(0, 32), '5046584c01000100' + '09000000' + '08000000');
  assert.is(hex.slice(40, 48), '00000000');
  assert.is(hex.slice(48, 88), '07000000' + 'ff03' + '0280' + '03000000' + '05000000' + '00010000');
  assert.is(hex.slice(88, 104), '00000000' + '010000f0', 'block 1 is written, block 0 is not');
  assert.is(hex.slice(208), '0f0000f0', 'block 15 is written');
});

test('a list survives encoding, also one that makes the buffer grow', () => {
  for (const count of [0, 1, 64, 65, 1000, MAX_EXTENTS_IN_LIST]) {
    const writer = new ExtentListWriter();
    for (let index = 0; index < count; index += 1)
      writer.add(index >> 10, index & 1023, 1 << (index & 15), 1 + index, 2 ** 45 + index, CRCS, 0);
    const list = decodeExtentList(writer.finish(17, null));
    assert.is(list.metaVersion, 17);
    assert.is(list.nextObject, null);
    assert.is(list.extents.length, count);
    for (const [index, extent] of list.extents.entries()) {
      const block = index & 15;
      assert.equal([extent.objectIndex, extent.extentIndex, extent.written], [index >> 10, index & 1023, 1 << block]);
      assert.equal([extent.generation, extent.sequence], [1 + index, 2 ** 45 + index]);
      assert.is(extent.blockCrcs[block], 0xf0000000 + block);
      assert.is(extent.blockCrcs.filter((crc) => crc !== 0).length, 1);
    }
  }
});

test('a list is full at 4096 extents', () => {
  const writer = new ExtentListWriter();
  assert.ok(writer.hasRoomFor(4096));
  assert.not(writer.hasRoomFor(4097));
  for (let index = 0; index < 3073; index += 1) writer.add(0, 0, 0, 0, 0, CRCS, 0);
  assert.not(writer.hasRoomFor(1024));
  assert.ok(writer.hasRoomFor(1023));
});

test('any flipped bit, any cut and any random bytes are PROTOCOL_ERROR or the same list', () => {
  const writer = new ExtentListWriter();
  for (let index = 0; index < 3; index += 1) writer.add(index, index, 0xffff, 1, index, CRCS, 0);
  const good = writer.finish(1, 3);
  for (let bit = 24 * 8; bit < good.length * 8; bit += 1) {
    const bytes = good.slice();
    bytes[bit >> 3] = bytes[bit >> 3]! ^ (1 << (bit & 7));
    assert.throws(() => decodeExtentList(bytes), isProtocolError);
  }
  for (let length = 0; length < good.length; length += 1)
    assert.throws(() => decodeExtentList(good.slice(0, length)), isProtocolError);
  let seed = 1;
  for (let round = 0; round < 2000; round += 1) {
    const bytes = good.slice(0, (seed >>> 4) % (good.length + 1));
    for (let times = 0; times < 8; times += 1) {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      if (bytes.length > 0) bytes[(seed >>> 8) % bytes.length] = seed >>> 24;
    }
    try {
      decodeExtentList(bytes);
    } catch (error) {
      assert.ok(isProtocolError(error as Error));
    }
  }
});

function isProtocolError(error: Error): boolean {
  return error instanceof PfError && error.code === 'PROTOCOL_ERROR';
}

test.run();
