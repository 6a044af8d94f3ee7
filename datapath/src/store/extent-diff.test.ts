// Comparisons of extent lists.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ExtentStamp } from '../api/extent-list.ts';
import { differingExtents } from './extent-diff.ts';

function extent(number: number, edit: Partial<ExtentStamp> = {}): ExtentStamp {
  const blockCrcs = new Uint32Array(16).fill(7);
  return {
    objectIndex: Math.floor(number / 1024),
    extentIndex: number % 1024,
    written: 0b11,
    generation: 3,
    sequence: 9,
    blockCrcs,
    ...edit,
  };
}

test('equal lists differ nowhere', () => {
  assert.equal(differingExtents([], []), []);
  assert.equal(differingExtents([extent(1), extent(1025)], [extent(1), extent(1025)]), []);
});

test('an extent that only one side has differs', () => {
  assert.equal(differingExtents([extent(1), extent(5)], [extent(2), extent(5), extent(2000)]), [1, 2, 2000]);
});

test('another generation, sequence or written bitmap differs', () => {
  assert.equal(differingExtents([extent(4)], [extent(4, { generation: 4 })]), [4]);
  assert.equal(differingExtents([extent(4)], [extent(4, { sequence: 10 })]), [4]);
  assert.equal(differingExtents([extent(4)], [extent(4, { written: 0b111 })]), [4]);
});

test('equal stamps with another checksum differ: the later of two writes may have arrived without the earlier', () => {
  const blockCrcs = new Uint32Array(16).fill(7);
  blockCrcs[1] = 8;
  assert.equal(differingExtents([extent(4)], [extent(4, { blockCrcs })]), [4]);
});

test('checksums of blocks that are not written do not count', () => {
  const blockCrcs = new Uint32Array(16).fill(7);
  blockCrcs[2] = 8;
  assert.equal(differingExtents([extent(4)], [extent(4, { blockCrcs })]), []);
});

test.run();
