// Joining CRC32C checksums without the bytes: crc(A + B) from crc(A), crc(B) and the length of B, for B of one 4 KiB block.
// The store keeps a checksum for each block and answers with the checksum of the whole payload; senders check the other way round.
// A zero byte appended to a message is a linear map on the 32 bits of its CRC; 4096 of them are squared together once at load.
import { crc32c } from './crc32c.ts';

/** BLOCK_SHIFT[k * 256 + b]: what byte k with the value b of a CRC becomes after 4096 zero bytes. */
const BLOCK_SHIFT = buildBlockShift();

/** CRC32C of 4096 zero bytes. */
export const ZERO_BLOCK_CRC = crc32c(new Uint8Array(4096), 0, 4096, 0);

/** CRC32C of A + B, where B is one block of 4096 bytes with the checksum `blockCrc`. `crc` is A's, or 0 for an empty A. */
export function crc32cAppendBlock(crc: number, blockCrc: number): number {
  return (
    (BLOCK_SHIFT[crc & 255]! ^
      BLOCK_SHIFT[256 + ((crc >>> 8) & 255)]! ^
      BLOCK_SHIFT[512 + ((crc >>> 16) & 255)]! ^
      BLOCK_SHIFT[768 + (crc >>> 24)]! ^
      blockCrc) >>>
    0
  );
}

function buildBlockShift(): Int32Array {
  let columns = oneZeroBit();
  for (let doublings = 0; doublings < 15; doublings += 1) columns = columns.map((column) => apply(columns, column));
  const table = new Int32Array(4 * 256);
  for (let at = 0; at < table.length; at += 1) table[at] = apply(columns, (at & 255) << ((at >>> 8) * 8));
  return table;
}

/** The map of one zero bit, by columns: where bit i of the register goes. */
function oneZeroBit(): Int32Array {
  const columns = new Int32Array(32);
  columns[0] = 0x82f63b78;
  for (let bit = 1; bit < 32; bit += 1) columns[bit] = 1 << (bit - 1);
  return columns;
}

function apply(columns: Int32Array, vector: number): number {
  let result = 0;
  for (let bit = 0; bit < 32; bit += 1) if ((vector >>> bit) & 1) result ^= columns[bit]!;
  return result;
}
