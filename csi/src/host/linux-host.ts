// The real machine: /proc/self/mountinfo, /sys, and the programs of util-linux, e2fsprogs, xfsprogs and coreutils.
// Opened by bin/csi. mount(8) and not the system call: it reads mount options as administrators write them, it knows SELinux contexts, and
// a mount that hangs on a sick device hangs a child that can be given up, not a thread of ours.
import { lstat, mkdir, open, readFile, realpath, rmdir, unlink } from 'node:fs/promises';
import type { Stats } from 'node:fs';
import { PfError } from '@pureflash/datapath/base';
import type { BlockDeviceLook, FsType, Host, Mount, MountRequest, PathLook, Usage } from '../node/host.ts';
import { checkFilesystem, formatDevice, growFilesystem } from './filesystems.ts';
import { parseMountinfo } from './mountinfo.ts';
import { Programs } from './run-program.ts';

const MOUNTINFO = '/proc/self/mountinfo';
const MOUNTINFO_READS_MAX = 5;
const HEAD_BYTES = 4096;
const PROBE_MS = 15_000;
const MOUNT_MS = 300_000;
const USAGE_MS = 10_000;
/** mount(8) and umount(8): the kernel or the user said no. */
const UMOUNT_FAILED = 32;
const BLKID_NOTHING = 2;
const BLKID_SEVERAL = 8;
/** Flags of a mount that a remount would forget unless it repeats them. */
const STICKY_OPTIONS: ReadonlySet<string> = new Set([
  'nosuid',
  'nodev',
  'noexec',
  'noatime',
  'nodiratime',
  'relatime',
  'nosymfollow',
]);
/** Opens the device exclusively, as a mount would: run by a child, since opening a sick device can hang. */
const CLAIM_SCRIPT = `
const { openSync, constants } = require('node:fs');
try { openSync(process.argv[1], constants.O_RDONLY | constants.O_EXCL); }
catch (error) { if (error.code !== 'EBUSY') throw error; process.exitCode = 3; }`;
const CLAIM_HELD = 3;

export class LinuxHost implements Host {
  readonly #programs: Programs;

  constructor(searchPath = '') {
    this.#programs = new Programs(searchPath);
  }

  /** Kernels before 5.8 can skip a line while others mount: the list counts once it reads twice the same. */
  async mounts(): Promise<readonly Mount[]> {
    let text = await readFile(MOUNTINFO, 'utf8');
    for (let turn = 1; turn < MOUNTINFO_READS_MAX; turn += 1) {
      const again = await readFile(MOUNTINFO, 'utf8');
      if (again === text) break;
      text = again;
    }
    return parseMountinfo(text);
  }

  async mount({ device, path, fsType, options }: MountRequest): Promise<void> {
    const list = options.length === 0 ? [] : ['-o', options.join(',')];
    const args = ['-t', fsType, ...list, '--', device, path];
    await this.#programs.run({ program: 'mount', args, subject: device, deadlineMs: MOUNT_MS });
  }

  async bindMount(source: string, path: string): Promise<void> {
    await this.#programs.run({ program: 'mount', args: ['--bind', '--', source, path], subject: path, deadlineMs: MOUNT_MS });
  }

  async remountReadOnly(path: string): Promise<void> {
    const top = (await this.mounts()).findLast((mount) => mount.path === path);
    if (top === undefined) throw new PfError('NOT_FOUND', `cannot make ${path} read-only: nothing is mounted there`);
    const options = ['remount', 'bind', 'ro', ...top.options.filter((option) => STICKY_OPTIONS.has(option))];
    const args = ['-o', options.join(','), '--', path];
    await this.#programs.run({ program: 'mount', args, subject: path, deadlineMs: MOUNT_MS });
  }

  async unmount(path: string): Promise<void> {
    const accepted = [0, UMOUNT_FAILED];
    const { status, stderr } = await this.#programs.run({
      program: 'umount',
      args: ['--', path],
      subject: path,
      deadlineMs: MOUNT_MS,
      accepted,
    });
    if (status === 0 || /not mounted|no mount point/.test(stderr)) return;
    const code = /busy/.test(stderr) ? 'INVALID_STATE' : 'IO_ERROR';
    throw new PfError(code, `cannot unmount ${path}: ${stderr}`);
  }

  async look(path: string): Promise<PathLook> {
    const found = await unlessMissing(lstat(path));
    if (found === null) return { kind: 'missing', deviceNumber: null, sizeBytes: 0 };
    const deviceNumber = found.isBlockDevice() ? deviceNumberOf(found.rdev) : null;
    return { kind: kindOf(found), deviceNumber, sizeBytes: found.size };
  }

  async realPath(path: string): Promise<string | null> {
    return await unlessMissing(realpath(path));
  }

  async makeFolder(path: string): Promise<void> {
    const refused = await errorOf(mkdir(path, { mode: 0o750 }));
    if (refused === null || (refused.code === 'EEXIST' && (await this.look(path)).kind === 'folder')) return;
    throw cannot('create folder', path, refused);
  }

  async makeFile(path: string): Promise<void> {
    try {
      await (await open(path, 'wx', 0o640)).close();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw cannot('create file', path, error);
      const { kind } = await this.look(path);
      if (kind !== 'file') throw cannot('create file', path, error);
    }
  }

  async removeFolder(path: string): Promise<void> {
    const refused = await errorOf(rmdir(path));
    if (refused !== null && refused.code !== 'ENOENT') throw cannot('remove folder', path, refused);
  }

  async removeFile(path: string): Promise<void> {
    const refused = await errorOf(unlink(path));
    if (refused !== null && refused.code !== 'ENOENT') throw cannot('remove file', path, refused);
  }

  async blockDevice(path: string): Promise<BlockDeviceLook | null> {
    const { deviceNumber } = await this.look(path);
    if (deviceNumber === null) return null;
    const sectors = await unlessMissing(readFile(`/sys/dev/block/${deviceNumber}/size`, 'utf8'));
    if (sectors === null) return null;
    const sizeBytes = Number(sectors) * 512;
    if (!Number.isSafeInteger(sizeBytes))
      throw new PfError('PROTOCOL_ERROR', `cannot read the size of ${path}: /sys says "${sectors.trim()}" sectors`);
    return { number: deviceNumber, sizeBytes };
  }

  async readHead(device: string): Promise<Uint8Array> {
    const args = [`if=${device}`, `bs=${HEAD_BYTES}`, 'count=1', 'iflag=direct', 'status=none'];
    const { stdout } = await this.#programs.run({ program: 'dd', args, subject: device, deadlineMs: PROBE_MS });
    if (stdout.length === HEAD_BYTES) return stdout;
    throw new PfError('IO_ERROR', `cannot read the first ${HEAD_BYTES} bytes of ${device}: it gave ${stdout.length}`);
  }

  async signature(device: string): Promise<string | null> {
    const accepted = [0, BLKID_NOTHING, BLKID_SEVERAL];
    const args = ['--probe', '--output', 'export', '--', device];
    const { status, stdout, stderr } = await this.#programs.run({
      program: 'blkid',
      args,
      subject: device,
      deadlineMs: PROBE_MS,
      accepted,
    });
    if (status === BLKID_SEVERAL) return 'several';
    const text = stdout.toString('utf8');
    const type = /^TYPE=(.*)$/m.exec(text)?.[1] ?? /^PTTYPE=(.*)$/m.exec(text)?.[1];
    if (type !== undefined) return type;
    // Nothing recognised and not a word: blank. blkid ends with the same status when it cannot read the device.
    if (status === BLKID_NOTHING && text === '' && stderr === '') return null;
    throw new PfError('IO_ERROR', `blkid cannot say what is on ${device}: status ${status}, ${stderr || JSON.stringify(text)}`);
  }

  async isFree(device: string): Promise<boolean> {
    const args = ['--input-type=commonjs', '-e', CLAIM_SCRIPT, '--', device];
    const call = { program: process.execPath, args, subject: device, deadlineMs: PROBE_MS, accepted: [0, CLAIM_HELD] };
    return (await this.#programs.run(call)).status === 0;
  }

  async format(device: string, fsType: FsType, isOverwriting: boolean): Promise<void> {
    await formatDevice(this.#programs, device, fsType, isOverwriting);
  }

  async check(device: string, fsType: FsType): Promise<void> {
    await checkFilesystem(this.#programs, device, fsType);
  }

  async grow(device: string, path: string, fsType: FsType): Promise<void> {
    await growFilesystem(this.#programs, device, path, fsType);
  }

  /** By a child: statfs of a sick filesystem must not take one of the few threads for good. */
  async usage(path: string): Promise<Usage> {
    const args = ['--file-system', '--format=%S %b %f %a %c %d', '--', path];
    const { stdout } = await this.#programs.run({ program: 'stat', args, subject: path, deadlineMs: USAGE_MS });
    const numbers = stdout.toString('utf8').trim().split(' ').map(Number);
    const [blockBytes = NaN, blocks = NaN, free = NaN, available = NaN, inodes = NaN, freeInodes = NaN] = numbers;
    if (numbers.length !== 6 || !numbers.every(Number.isSafeInteger)) {
      throw new PfError('PROTOCOL_ERROR', `cannot read the usage of ${path}: stat said "${stdout.toString('utf8').trim()}"`);
    }
    return {
      totalBytes: blocks * blockBytes,
      availableBytes: available * blockBytes,
      usedBytes: (blocks - free) * blockBytes,
      totalInodes: inodes,
      availableInodes: freeInodes,
      usedInodes: inodes - freeInodes,
    };
  }
}

function kindOf(found: Stats): PathLook['kind'] {
  if (found.isDirectory()) return 'folder';
  if (found.isFile()) return 'file';
  if (found.isSymbolicLink()) return 'link';
  return found.isBlockDevice() ? 'blockDevice' : 'other';
}

/** glibc's packing: 12 and 20 bits of the major, 8 and 24 of the minor number. */
function deviceNumberOf(rdev: number): string {
  const packed = BigInt(rdev);
  const major = ((packed >> 8n) & 0xfffn) | ((packed >> 32n) & ~0xfffn);
  const minor = (packed & 0xffn) | ((packed >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}

async function unlessMissing<T>(asked: Promise<T>): Promise<T | null> {
  try {
    return await asked;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw new PfError('IO_ERROR', `cannot look at a path: ${(error as Error).message}`, { cause: error });
  }
}

async function errorOf(asked: Promise<unknown>): Promise<NodeJS.ErrnoException | null> {
  try {
    await asked;
    return null;
  } catch (error) {
    return error as NodeJS.ErrnoException;
  }
}

function cannot(action: string, path: string, error: unknown): PfError {
  const { code } = error as NodeJS.ErrnoException;
  const isState =
    code === 'ENOTEMPTY' || code === 'EEXIST' || code === 'EBUSY' || code === 'ENOTDIR' || code === 'EISDIR' || code === 'ENOENT';
  return new PfError(isState ? 'INVALID_STATE' : 'IO_ERROR', `cannot ${action} ${path}: ${(error as Error).message}`, {
    cause: error,
  });
}
