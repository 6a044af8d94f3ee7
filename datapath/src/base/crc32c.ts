// CRC32C (Castagnoli, reflected polynomial 0x82f63b78) in plain TypeScript: slicing by eight.
// The portable side of IoMemory.crc32c; where the native addon is loaded, the processor's instruction does the same work.

const POLYNOMIAL = 0x82f63b78;

/** Eight tables of 256 entries: TABLES[k * 256 + b] advances byte b by k further zero bytes. */
const TABLES = buildTables();

/** Checksum of bytes[offset, offset + length), continuing from `seed` (0 to start). Unsigned 32-bit. */
export function crc32c(bytes: Uint8Array, offset: number, length: number, seed: number): number {
  let crc = ~seed;
  let at = offset;
  const end = offset + length;
  for (const fastEnd = end - 7; at < fastEnd; at += 8) {
    const low = crc ^ (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24));
    crc =
      TABLES[1792 + (low & 255)]! ^
      TABLES[1536 + ((low >>> 8) & 255)]! ^
      TABLES[1280 + ((low >>> 16) & 255)]! ^
      TABLES[1024 + (low >>> 24)]! ^
      TABLES[768 + bytes[at + 4]!]! ^
      TABLES[512 + bytes[at + 5]!]! ^
      TABLES[256 + bytes[at + 6]!]! ^
      TABLES[bytes[at + 7]!]!;
  }
  for (; at < end; at += 1) crc = (crc >>> 8) ^ TABLES[(crc ^ bytes[at]!) & 255]!;
  return ~crc >>> 0;
}

function buildTables(): Int32Array {
  const tables = new Int32Array(8 * 256);
  for (let byte = 0; byte < 256; byte += 1) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
    tables[byte] = crc;
  }
  for (let at = 256; at < tables.length; at += 1) {
    const shorter = tables[at - 256]!;
    tables[at] = (shorter >>> 8) ^ tables[shorter & 255]!;
  }
  return tables;
}
