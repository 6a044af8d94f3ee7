// What kind of disk a path is, how large, and its smallest unit of I/O, asked from the file system and /sys.
import { readFile } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { PfError } from '../../base/errors.ts';
import { SECTOR_BYTES } from '../../base/sizes.ts';
import type { DiskOpenOptions } from '../disk.ts';

export interface DiskGeometry {
  readonly isBlockDevice: boolean;
  readonly sizeBytes: number;
  /** 512 or 4096. */
  readonly blockSizeBytes: number;
  /** Where an owner file for this disk belongs when there is no flock. */
  readonly ownerPath: string;
}

export async function probeGeometry(path: string, handle: FileHandle, options: DiskOpenOptions): Promise<DiskGeometry> {
  const stat = await handle.stat();
  if (stat.isBlockDevice()) return probeBlockDevice(path, stat.rdev);
  if (!stat.isFile()) throw new PfError('INVALID_ARGUMENT', `cannot use ${path} as a disk: it is neither a file nor a block device`);
  let sizeBytes = stat.size;
  if (options.createSizeBytes !== undefined && options.createSizeBytes > sizeBytes) {
    await handle.truncate(options.createSizeBytes);
    await handle.sync();
    sizeBytes = options.createSizeBytes;
  }
  const usable = sizeBytes - (sizeBytes % SECTOR_BYTES);
  if (usable === 0) {
    throw new PfError('INVALID_ARGUMENT', `cannot use ${path} as a disk: it is empty; give a size to create it with`);
  }
  return { isBlockDevice: false, sizeBytes: usable, blockSizeBytes: SECTOR_BYTES, ownerPath: `${path}.owner` };
}

async function probeBlockDevice(path: string, rdev: number): Promise<DiskGeometry> {
  const major = Math.floor(rdev / 256) % 4096;
  const minor = (rdev % 256) + Math.floor(rdev / 2 ** 20) * 256;
  const folder = `/sys/dev/block/${major}:${minor}`;
  const sectors = await readNumber(`${folder}/size`);
  const blockSize = (await readNumber(`${folder}/queue/logical_block_size`)) ?? (await readNumber(`${folder}/../queue/logical_block_size`));
  if (sectors === null || sectors === 0) {
    throw new PfError('NOT_FOUND', `cannot use ${path} as a disk: the kernel knows no size for device ${major}:${minor}; is it attached?`);
  }
  return { isBlockDevice: true, sizeBytes: sectors * SECTOR_BYTES, blockSizeBytes: blockSize ?? SECTOR_BYTES, ownerPath: `/var/lock/pureflash-disk-${major}-${minor}` };
}

async function readNumber(path: string): Promise<number | null> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text === '' ? null : Number(text);
}
