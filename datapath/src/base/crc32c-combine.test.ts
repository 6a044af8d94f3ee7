import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { crc32c } from './crc32c.ts';
import { ZERO_BLOCK_CRC, crc32cAppendBlock } from './crc32c-combine.ts';

test('the checksum of 4096 zero bytes is the known one', () => {
  assert.is(ZERO_BLOCK_CRC, 0x98f94189);
});

test('block checksums join to the checksum of the whole, whatever came before', () => {
  const bytes = Uint8Array.from({ length: 512 + 3 * 4096 }, (_, at) => (at * 2654435761) >>> 24);
  let joined = crc32c(bytes, 0, 512, 0);
  for (let at = 512; at < bytes.length; at += 4096) joined = crc32cAppendBlock(joined, crc32c(bytes, at, 4096, 0));
  assert.is(joined, crc32c(bytes, 0, bytes.length, 0));
});

test('an empty beginning changes nothing', () => {
  assert.is(crc32cAppendBlock(0, 0x12345678), 0x12345678);
});

test.run();
