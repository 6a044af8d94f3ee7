// The logical block of a kernel device, for all mappers that choose it: 4096 wherever the size allows it, so that it never changes under a
// file system.
import type { BlockDevice } from '../block/device.ts';

export function blockSizeOf(device: BlockDevice): 512 | 4096 {
  return device.sizeBytes % 4096 === 0 || device.minimumIoBytes === 4096 ? 4096 : 512;
}
