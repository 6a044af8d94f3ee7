// What kind of disk a path is, how large, and its smallest unit of I/O, asked from the file system and /sys.
import { constants } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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

/**
 * The flags to open a disk with. A block device that is to be ours alone is opened with O_EXCL, which the kernel refuses (EBUSY)
 * while it is mounted or part of another device.
 */
export async function openFlags(path: string, options: DiskOpenOptions): Promise<number> {
  const isReadOnly = options.isReadOnly ?? false;
  const found = await stat(path).catch(() => null);
  const isExclusive = (options.isExclusive ?? !isReadOnly) && found?.isBlockDevice() === true;
  const canCreate = options.createSizeBytes !== undefined && !isReadOnly && found === null;
  return (
    (isReadOnly ? constants.O_RDONLY : constants.O_RDWR) |
    (canCreate ? constants.O_CREAT : 0) |
    (isExclusive ? constants.O_EXCL : 0)
  );
}

export async function probeGeometry(path: string, handle: FileHandle, options: DiskOpenOptions): Promise<DiskGeometry> {
  const found = await handle.stat();
  if (found.isBlockDevice()) return probeBlockDevice(path, found.rdev);
  if (!found.isFile())
    throw new PfError('INVALID_ARGUMENT', `cannot use ${path} as a disk: it is neither a file nor a block device`);
  // Only a file that holds nothing gets a size from us: any other belongs to somebody, and may not be ours.
  const sizeBytes = found.size > 0 ? found.size : (options.createSizeBytes ?? 0);
  if (sizeBytes === 0) {
    throw new PfError('INVALID_ARGUMENT', `cannot use ${path} as a disk: the file is empty`);
  }
  if (sizeBytes % SECTOR_BYTES !== 0) {
    throw new PfError(
      'INVALID_ARGUMENT',
      `cannot use ${path} as a disk: its size of ${sizeBytes} bytes is no multiple of ${SECTOR_BYTES}; see truncate --size=%${SECTOR_BYTES}`,
    );
  }
  if (found.size === 0) {
    await handle.truncate(sizeBytes);
    await handle.sync();
  }
  return { isBlockDevice: false, sizeBytes, blockSizeBytes: SECTOR_BYTES, ownerPath: `${path}.owner` };
}

async function probeBlockDevice(path: string, rdev: number): Promise<DiskGeometry> {
  const major = Math.floor(rdev / 256) % 4096;
  const minor = (rdev % 256) + Math.floor(rdev / 2 ** 20) * 256;
  const folder = `/sys/dev/block/${major}:${minor}`;
  const sectors = await readNumber(`${folder}/size`);
  const blockSize =
    (await readNumber(`${folder}/queue/logical_block_size`)) ?? (await readNumber(`${folder}/../queue/logical_block_size`));
  if (sectors === null || sectors === 0) {
    throw new PfError(
      'NOT_FOUND',
      `cannot use ${path} as a disk: the kernel knows no size for device ${major}:${minor}; is it attached?`,
    );
  }
  return {
    isBlockDevice: true,
    sizeBytes: sectors * SECTOR_BYTES,
    blockSizeBytes: blockSize ?? SECTOR_BYTES,
    ownerPath: join(tmpdir(), `pureflash-disk-${major}-${minor}.owner`),
  };
}

async function readNumber(path: string): Promise<number | null> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text === '' ? null : Number(text);
}
