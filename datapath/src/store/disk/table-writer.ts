// Copies table pages from memory to one of their two places on the disk, a chunk at a time. Used by the checkpoint and at the end of open.
import { TABLE_PAGE_BYTES } from './layout.ts';
import type { DiskState } from './disk-state.ts';
import { Gather } from './gather.ts';

const MAX_CHUNK_PAGES = 64;
export const TABLE_CHUNK_BYTES = MAX_CHUNK_PAGES * TABLE_PAGE_BYTES;

export interface TableWriteOptions {
  /** Pages of a chunk, at most 64: how much is written at once. */
  chunkPages(): number;
  /** Called when a chunk was copied, before it is written: waits until what it says is complete in the log. */
  beforeWrite(): Promise<void>;
}

/** Writes `pages` (ascending) to the copy of the table at `tableOffset`. Not durable until a flush. */
export async function writeTablePages(
  state: DiskState,
  tableOffset: number,
  pages: readonly number[],
  options: TableWriteOptions,
): Promise<void> {
  const { memory, table, words, disk } = state;
  const chunk = memory.reserve(TABLE_CHUNK_BYTES);
  try {
    for (let from = 0; from < pages.length; ) {
      const to = Math.min(pages.length, from + Math.min(MAX_CHUNK_PAGES, options.chunkPages()));
      for (let index = from; index < to; index += 1) {
        table.copyPage(pages[index]!, words, (chunk + (index - from) * TABLE_PAGE_BYTES) >>> 2, memory);
      }
      await options.beforeWrite();
      if (state.failure !== null) throw state.failure;
      const written = new Gather();
      for (let index = from; index < to; ) {
        let end = index + 1;
        while (end < to && pages[end] === pages[end - 1]! + 1) end += 1;
        const offset = tableOffset + pages[index]! * TABLE_PAGE_BYTES;
        disk.write(offset, chunk + (index - from) * TABLE_PAGE_BYTES, (end - index) * TABLE_PAGE_BYTES, false, written.add());
        index = end;
      }
      await written.all('write the extent table', disk.path);
      from = to;
    }
  } finally {
    memory.release(chunk, TABLE_CHUNK_BYTES);
  }
}

/** The dirty pages of the table, and all pages between the old limit and the new one: those were never initialised. */
export function pagesToWrite(dirty: readonly number[], oldLimitPages: number, newLimitPages: number): number[] {
  const pages = dirty.filter((page) => page < oldLimitPages);
  for (let page = oldLimitPages; page < newLimitPages; page += 1) pages.push(page);
  return pages;
}

export async function flushDisk(state: DiskState): Promise<void> {
  const flushed = new Gather();
  state.disk.flush(flushed.add());
  await flushed.all('flush', state.disk.path);
}
