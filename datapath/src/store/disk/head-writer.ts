// Writes the head: to A, durable, then to B, durable, so that one of them is always whole and both are the newest one afterwards.
// Used by format, open and the checkpoint; one write at a time.
import type { Disk } from '../../world/disk.ts';
import type { IoMemory } from '../../world/memory.ts';
import { Gather } from './gather.ts';
import { encodeHead, type Head } from './head-page.ts';
import { HEAD_A_OFFSET, HEAD_B_OFFSET, HEAD_PAGE_BYTES } from './layout.ts';

export async function writeHead(disk: Disk, memory: IoMemory, head: Head): Promise<void> {
  const page = memory.reserve(HEAD_PAGE_BYTES);
  try {
    memory.bytes.fill(0, page, page + HEAD_PAGE_BYTES);
    memory.bytes.set(encodeHead(head), page);
    for (const offset of [HEAD_A_OFFSET, HEAD_B_OFFSET]) {
      const written = new Gather();
      disk.write(offset, page, HEAD_PAGE_BYTES, true, written.add());
      await written.all('write the head', disk.path);
    }
  } finally {
    memory.release(page, HEAD_PAGE_BYTES);
  }
}
