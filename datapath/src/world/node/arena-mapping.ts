// The arena of the real world and where the kernel finds it: addressLow/High are the address of arena offset 0. The whole arena
// lies in one 4 GiB window, so the address of an offset is (addressLow + offset, addressHigh).
import { crc32c } from '../../base/crc32c.ts';
import { PfError } from '../../base/errors.ts';
import { alignUp, formatSize } from '../../base/sizes.ts';
import { Arena } from '../arena.ts';
import type { Turn } from '../clock.ts';
import type { IoMemory } from '../memory.ts';
import { nativeError, type NativeAddon } from './native-addon.ts';

export interface ArenaMapping {
  readonly memory: IoMemory;
  readonly addressLow: number;
  readonly addressHigh: number;
}

export function mapArena(addon: NativeAddon, memoryBytes: number, turn: Turn): ArenaMapping {
  const native = addon.mapArena(alignUp(memoryBytes, 4096));
  if (typeof native === 'number') {
    throw new PfError('NO_SPACE', `cannot map ${formatSize(memoryBytes)} of I/O memory`, { cause: nativeError(native, 'mmap') });
  }
  const checksum = native.crc32c;
  return {
    memory: new Arena(native.buffer, checksum ? (_bytes, offset, length, seed) => checksum(offset, length, seed) : crc32c, turn),
    addressLow: native.addressLow,
    addressHigh: native.addressHigh,
  };
}
