// The checks that every real disk makes before it gives a request to the kernel: 0, or EINVAL.
import { EINVAL } from '../completion.ts';
import type { Disk, IoVector } from '../disk.ts';
import type { IoMemory } from '../memory.ts';

const MEMORY_ALIGNMENT = 512;

export function checkDiskRange(disk: Disk, diskOffset: number, length: number): number {
  const unit = disk.blockSizeBytes;
  const isWhole = diskOffset >= 0 && length > 0 && diskOffset % unit === 0 && length % unit === 0;
  return isWhole && diskOffset + length <= disk.sizeBytes ? 0 : EINVAL;
}

export function checkDiskMemory(memory: IoMemory, memoryOffset: number, length: number): number {
  return memoryOffset > 0 && memoryOffset % MEMORY_ALIGNMENT === 0 && memoryOffset + length <= memory.sizeBytes ? 0 : EINVAL;
}

/** Pieces need the same alignment as whole requests: each goes to the device as it is. */
export function checkDiskVector(disk: Disk, memory: IoMemory, diskOffset: number, vector: IoVector): number {
  for (let index = 0; index < vector.count; index += 1) {
    const length = vector.lengths[index]!;
    if (length <= 0 || length % MEMORY_ALIGNMENT !== 0 || checkDiskMemory(memory, vector.offsets[index]!, length) !== 0)
      return EINVAL;
  }
  return checkDiskRange(disk, diskOffset, vector.totalBytes);
}
