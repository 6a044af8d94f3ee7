// Loop devices by ioctl and /sys. Everything that opens a loop device, or the file behind one, runs on the thread pool: it may wait
// for requests that this very process answers.
import { constants } from 'node:fs';
import { access, open, readFile, readdir, stat, type FileHandle } from 'node:fs/promises';
import { PfError } from '../../base/errors.ts';
import type { LoopDevice, LoopDevices, LoopOptions } from '../loop-devices.ts';
import { nativeError, type NativeFuse } from './native-addon.ts';
import { systemCodeOf, toPfError } from './system-error.ts';

const CONTROL = '/dev/loop-control';
const READ_ONLY = 1;
const DIRECT_IO = 16;
const EBUSY = -16;
const ENXIO = -6;
/** Others look for a free device at the same time: the same one may be offered to all. */
const FREE_TRIES = 64;
const PAUSE_MS = 20;
const GONE_TRIES = 150;

export class NodeLoopDevices implements LoopDevices {
  readonly #addon: NativeFuse;

  constructor(addon: NativeFuse) {
    this.#addon = addon;
  }

  async unavailable(): Promise<string | null> {
    try {
      await access(CONTROL, constants.R_OK | constants.W_OK);
      return null;
    } catch {
      return `${CONTROL} is not there or may not be opened; load the module loop and run as root`;
    }
  }

  async list(): Promise<readonly LoopDevice[]> {
    const found: LoopDevice[] = [];
    for (const name of await readdir('/sys/block')) {
      if (!/^loop[0-9]+$/.test(name)) continue;
      const backingFile = await readSys(`${name}/loop/backing_file`);
      if (backingFile === null) continue;
      const sectors = Number((await readSys(`${name}/size`)) ?? 0);
      const isDirect = (await readSys(`${name}/loop/dio`)) === '1';
      found.push({ path: `/dev/${name}`, backingFile, sizeBytes: sectors * 512, isDirect });
    }
    return found;
  }

  async attach(backingFile: string, options: LoopOptions): Promise<string> {
    const access_ = options.isReadOnly ? constants.O_RDONLY : constants.O_RDWR;
    let backing: FileHandle | null = null;
    let control: FileHandle | null = null;
    try {
      control = await open(CONTROL, constants.O_RDWR);
      backing = await open(backingFile, access_);
      for (let tries = 0; tries < FREE_TRIES; tries += 1) {
        const path = await this.#tryAttach(control.fd, backing.fd, options);
        if (path !== null) return path;
      }
      throw new PfError('NO_SPACE', `cannot make a loop device over ${backingFile}: others took each of ${FREE_TRIES} free ones`);
    } catch (error) {
      throw toPfError(error, `cannot make a loop device over ${backingFile}`);
    } finally {
      await backing?.close();
      await control?.close();
    }
  }

  async takeSize(device: LoopDevice, file: string): Promise<number> {
    try {
      // The kernel asks for the file's size when somebody looks at it, and the loop device takes what the kernel knows.
      await stat(file);
      await withDevice(device.path, 0, async (fd) => check(await this.#addon.loopSetCapacity(fd), 'LOOP_SET_CAPACITY'));
    } catch (error) {
      throw toPfError(error, `cannot resize ${device.path}`);
    }
    const now = (await this.list()).find(({ path }) => path === device.path);
    return now?.sizeBytes ?? 0;
  }

  async detach(device: LoopDevice): Promise<void> {
    try {
      await withDevice(device.path, constants.O_EXCL, (fd) => this.#clear(device, fd));
    } catch (error) {
      if (systemCodeOf(error) === 'ENXIO') return;
      if (systemCodeOf(error) === 'EBUSY') throw inUse(device);
      throw toPfError(error, `cannot remove ${device.path}`);
    }
    if (await this.#isGone(device, GONE_TRIES)) return;
    await withDevice(device.path, 0, (fd) => this.#addon.loopKeep(fd));
    if (!(await this.#isGone(device, 1))) throw inUse(device);
  }

  async detachLazily(device: LoopDevice): Promise<void> {
    try {
      await withDevice(device.path, 0, (fd) => this.#clear(device, fd));
    } catch (error) {
      if (systemCodeOf(error) !== 'ENXIO') throw toPfError(error, `cannot remove ${device.path}`);
    }
    await this.#isGone(device, GONE_TRIES);
  }

  async #tryAttach(controlFd: number, backingFd: number, options: LoopOptions): Promise<string | null> {
    const number = await this.#addon.loopFindFree(controlFd);
    if (number < 0) {
      throw new PfError('NO_SPACE', 'the kernel has no free loop device', { cause: nativeError(number, 'LOOP_CTL_GET_FREE') });
    }
    const path = `/dev/loop${number}`;
    const device = await open(path, options.isReadOnly ? constants.O_RDONLY : constants.O_RDWR);
    try {
      const flags = DIRECT_IO | (options.isReadOnly ? READ_ONLY : 0);
      const result = await this.#addon.loopConfigure(device.fd, backingFd, options.blockSizeBytes, flags);
      if (result === EBUSY) return null;
      check(result, 'LOOP_CONFIGURE');
      return path;
    } finally {
      await device.close();
    }
  }

  /** Only while it is still over that file: the number may have been given to another since. */
  async #clear(device: LoopDevice, fd: number): Promise<void> {
    if ((await backingFileOf(device.path)) !== device.backingFile) return;
    const result = await this.#addon.loopClear(fd);
    if (result !== ENXIO) check(result, 'LOOP_CLR_FD');
  }

  async #isGone(device: LoopDevice, tries: number): Promise<boolean> {
    for (let left = tries; left > 0; left -= 1) {
      if ((await backingFileOf(device.path)) !== device.backingFile) return true;
      if (left > 1) await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
    return false;
  }
}

async function withDevice<T>(path: string, flags: number, use: (fd: number) => Promise<T>): Promise<T> {
  const handle = await open(path, constants.O_RDONLY | flags);
  try {
    return await use(handle.fd);
  } finally {
    await handle.close();
  }
}

function check(result: number, call: string): void {
  if (result < 0) throw nativeError(result, call);
}

function inUse(device: LoopDevice): PfError {
  return new PfError('INVALID_STATE', `cannot remove ${device.path}: it is mounted or open; unmount it and close it first`);
}

function backingFileOf(path: string): Promise<string | null> {
  return readSys(`${path.slice('/dev/'.length)}/loop/backing_file`);
}

async function readSys(name: string): Promise<string | null> {
  try {
    return (await readFile(`/sys/block/${name}`, 'utf8')).trimEnd();
  } catch (error) {
    if (['ENOENT', 'ENXIO', 'ENODEV'].includes(systemCodeOf(error))) return null;
    throw error;
  }
}
