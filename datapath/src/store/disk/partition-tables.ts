// Counts what a partition table says, for messages to people. Called by signatures.ts. Pure; every number read is bounded.

const GPT_ENTRIES_MAX = 1024;
const GPT_ENTRY_BYTES_MIN = 128;
const GPT_ENTRY_BYTES_MAX = 4096;
const MBR_ENTRIES_AT = 446;
const MBR_ENTRY_BYTES = 16;

/** Entries with a type, of the table whose header lies at `header` (the sector size); null when the header makes no sense. */
export function countGptPartitions(first: Uint8Array, header: number): number | null {
  if (first.length < header + 92) return null;
  const view = new DataView(first.buffer, first.byteOffset, first.length);
  const tableSector = view.getUint32(header + 72, true) + view.getUint32(header + 76, true) * 2 ** 32;
  const entries = view.getUint32(header + 80, true);
  const entryBytes = view.getUint32(header + 84, true);
  if (entryBytes < GPT_ENTRY_BYTES_MIN || entryBytes > GPT_ENTRY_BYTES_MAX || entries > GPT_ENTRIES_MAX) return null;
  let count = 0;
  for (let index = 0; index < entries; index += 1) {
    const at = tableSector * header + index * entryBytes;
    if (at + 16 > first.length) break;
    if (first.subarray(at, at + 16).some((byte) => byte !== 0)) count += 1;
  }
  return count;
}

/** Primary entries with a type; null where the four entries are not a table at all. */
export function countMbrPartitions(first: Uint8Array): number | null {
  let count = 0;
  for (let index = 0; index < 4; index += 1) {
    const at = MBR_ENTRIES_AT + index * MBR_ENTRY_BYTES;
    const boot = first[at]!;
    if (boot !== 0 && boot !== 0x80) return null;
    if (first[at + 4] !== 0) count += 1;
  }
  return count;
}

/** "no partition", "1 partition", "3 partitions"; null: "a damaged header". */
export function describePartitions(count: number | null): string {
  if (count === null) return 'a damaged header';
  return count === 0 ? 'no partition' : count === 1 ? '1 partition' : `${count} partitions`;
}
