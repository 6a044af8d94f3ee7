// /dev/fuse, its mounts and its holders in the real world. Calls that may wait for the file system that this process serves run on
// the thread pool. Holders are separate processes (native/holder), found again by what /proc says about them.
import { spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { access, chmod, mkdir, open, readFile, readdir, readlink, rmdir } from 'node:fs/promises';
import { PfError } from '../../base/errors.ts';
import { FUSE_PAYLOAD_BYTES, type Fuse, type FuseChannel } from '../fuse.ts';
import { isSameProcess, type ProcessIdentity } from '../processes.ts';
import { closeDescriptor, type OwnedFuseChannel } from './fuse-descriptor.ts';
import { findBuilt, nativeError, type NativeFuse } from './native-addon.ts';
import { readIdentity } from './process-stat.ts';
import { leaveCgroup } from './holder-cgroup.ts';
import { systemCodeOf, toPfError } from './system-error.ts';

const DEVICE = '/dev/fuse';
const HOLDER = 'pureflash-holder';
/** The descriptor under which a holder has the connection. */
const HELD_FD = 3;
const CAP_SYS_ADMIN = 21n;
const MNT_FORCE = 1;
const MNT_DETACH = 2;
const EBUSY = -16;
const PAUSE_MS = 20;
const CLEAN_TRIES = 100;
const END_TRIES = 250;

export class NodeFuse implements Fuse {
  readonly #addon: NativeFuse;
  readonly #makeChannel: (fd: number) => OwnedFuseChannel;

  constructor(addon: NativeFuse, makeChannel: (fd: number) => OwnedFuseChannel) {
    this.#addon = addon;
    this.#makeChannel = makeChannel;
  }

  async unavailable(): Promise<string | null> {
    const canOpen = await access(DEVICE, constants.R_OK | constants.W_OK).then(
      () => true,
      () => false,
    );
    if (!canOpen) return `${DEVICE} is not there or may not be opened; load the module fuse and run as root`;
    if (findBuilt(HOLDER) === undefined) return `the program ${HOLDER} is not built; run: node datapath/native/build.mjs`;
    if (!(await hasCapability(CAP_SYS_ADMIN))) return 'the capability CAP_SYS_ADMIN is missing, which mount needs';
    return null;
  }

  async open(): Promise<FuseChannel> {
    try {
      // Non-blocking is a property of the open file, so it holds for the holder's descriptor and for the next server's too.
      const handle = await open(DEVICE, constants.O_RDWR | constants.O_NONBLOCK);
      const fd = this.#addon.duplicateDescriptor(handle.fd);
      await handle.close();
      if (fd < 0) throw nativeError(fd, 'fcntl');
      return this.#makeChannel(fd);
    } catch (error) {
      throw toPfError(error, `cannot open ${DEVICE}`);
    }
  }

  async mount(channel: FuseChannel, folder: string): Promise<void> {
    const { fd } = channel as OwnedFuseChannel;
    const owner = `user_id=${process.getuid!()},group_id=${process.getgid!()}`;
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await chmod(folder, 0o700);
      const options = `fd=${fd},rootmode=40000,${owner},allow_other,max_read=${FUSE_PAYLOAD_BYTES}`;
      const result = await this.#addon.mountFuse(folder, options);
      if (result < 0) throw nativeError(result, 'mount');
    } catch (error) {
      throw toPfError(error, `cannot mount a FUSE file system at ${folder}`);
    }
  }

  async isMounted(folder: string): Promise<boolean> {
    const text = await readFile('/proc/self/mountinfo', 'utf8');
    return text.split('\n').some((line) => line.includes(' - fuse ') && mountPointOf(line) === folder);
  }

  async unmount(folder: string, how: 'clean' | 'abort'): Promise<void> {
    if (how === 'abort') await this.#addon.unmountFolder(folder, MNT_FORCE);
    for (let tries = 0; await this.isMounted(folder); tries += 1) {
      // The kernel lets go of the loop device's file a little after the device.
      const isPatient = how === 'clean' && tries < CLEAN_TRIES;
      const result = await this.#addon.unmountFolder(folder, isPatient ? 0 : MNT_DETACH);
      if (result === EBUSY && isPatient) await sleep(PAUSE_MS);
      else if (result < 0 && (await this.isMounted(folder))) {
        throw toPfError(nativeError(result, 'umount'), `cannot unmount ${folder}`);
      }
    }
    await rmdir(folder).catch((error: unknown) => {
      if (systemCodeOf(error) !== 'ENOENT') throw toPfError(error, `cannot remove the folder ${folder}`);
    });
  }

  async hold(channel: FuseChannel, label: string): Promise<ProcessIdentity> {
    const program = findBuilt(HOLDER);
    if (program === undefined) throw new PfError('UNSUPPORTED', `cannot hold a FUSE connection: ${HOLDER} is not built`);
    const { fd } = channel as OwnedFuseChannel;
    const child = spawn(program, [label], { detached: true, stdio: ['ignore', 'ignore', 'ignore', fd], env: {}, cwd: '/' });
    try {
      await new Promise<void>((resolve, reject) => child.once('spawn', resolve).once('error', reject));
    } catch (error) {
      throw toPfError(error, `cannot start ${program}`);
    }
    const identity = readIdentity(child.pid!, true);
    child.unref();
    const groups = process.env['PF_HOLDER_CGROUPS'];
    if (groups !== undefined) await leaveCgroup(child.pid!, groups);
    if (identity === null) throw new PfError('IO_ERROR', `cannot hold a FUSE connection: ${program} ended at once`);
    return identity;
  }

  async regain(holder: ProcessIdentity): Promise<FuseChannel | null> {
    const pidfd = this.#addon.pidfdOpen(holder.pid);
    if (pidfd < 0) return null;
    try {
      // The pidfd names whatever has that id now; as long as it is open, the process that is looked at stays that one.
      const found = readIdentity(holder.pid);
      if (found === null || !isSameProcess(found, holder)) return null;
      const fd = this.#addon.pidfdGetFd(pidfd, HELD_FD);
      if (fd < 0) throw toPfError(nativeError(fd, 'pidfd_getfd'), `cannot take the connection from process ${holder.pid}`);
      if ((await readlink(`/proc/self/fd/${fd}`)) === DEVICE) return this.#makeChannel(fd);
      await closeDescriptor(fd);
      return null;
    } finally {
      await closeDescriptor(pidfd);
    }
  }

  async findHolders(label: string): Promise<readonly ProcessIdentity[]> {
    const found: ProcessIdentity[] = [];
    for (const name of await readdir('/proc')) {
      if (!/^[0-9]+$/.test(name)) continue;
      const [program, argument] = (await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '')).split('\0');
      if (argument !== label || program?.endsWith(`/${HOLDER}`) !== true) continue;
      const identity = readIdentity(Number(name));
      if (identity !== null) found.push(identity);
    }
    return found;
  }

  async endHolder(holder: ProcessIdentity): Promise<void> {
    for (let tries = 0; tries < END_TRIES; tries += 1) {
      const found = readIdentity(holder.pid);
      if (found === null || !isSameProcess(found, holder)) return;
      if (tries === 0) process.kill(holder.pid, 'SIGKILL');
      await sleep(PAUSE_MS);
    }
    throw new PfError('TIMEOUT', `process ${holder.pid}, which holds a FUSE connection, does not end after SIGKILL`);
  }
}

/** Field 5 of a line of mountinfo, with its escapes undone. */
function mountPointOf(line: string): string {
  const field = line.split(' ')[4] ?? '';
  return field.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

async function hasCapability(bit: bigint): Promise<boolean> {
  const status = await readFile('/proc/self/status', 'utf8');
  const mask = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0';
  return ((BigInt(`0x${mask}`) >> bit) & 1n) === 1n;
}

function sleep(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}
