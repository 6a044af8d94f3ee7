// Exclusive locks that end with the process: flock where the native addon is loaded, else a lock file that names its owner
// (process id, its start time and the boot), taken over when that owner is gone.
import { readFileSync } from 'node:fs';
import { link, open, readFile, rm, unlink, writeFile } from 'node:fs/promises';
import { PfError } from '../../base/errors.ts';
import { systemCodeOf, toPfError } from './system-error.ts';

/** flock(fd, LOCK_EX | LOCK_NB): true when taken. */
export type TryFlock = (fd: number) => boolean;

export interface HeldLock {
  release(): Promise<void>;
}

/** Locks `path` itself with flock, or with an owner file at `ownerPath` where there is no flock. */
export async function takeLock(path: string, ownerPath: string, tryFlock: TryFlock | null): Promise<HeldLock> {
  return tryFlock === null ? takeOwnerFile(path, ownerPath) : takeFlock(path, tryFlock);
}

export function lockedError(path: string, owner: string): PfError {
  return new PfError('INVALID_STATE', `cannot lock ${path}: it is in use${owner}; stop the other user or choose another path`);
}

async function takeFlock(path: string, tryFlock: TryFlock): Promise<HeldLock> {
  const file = await open(path, 'a').catch((error: unknown) => {
    throw toPfError(error, `cannot open ${path} to lock it`);
  });
  if (!tryFlock(file.fd)) {
    await file.close();
    throw lockedError(path, ' by another process or another part of this one');
  }
  let isHeld = true;
  return {
    async release() {
      if (!isHeld) return;
      isHeld = false;
      await file.close();
    },
  };
}

async function takeOwnerFile(path: string, ownerPath: string): Promise<HeldLock> {
  const self = describeProcess(process.pid);
  const draft = `${ownerPath}.${process.pid}.${performance.now()}`;
  try {
    await writeFile(draft, self);
    for (let attempt = 0; attempt < 3; attempt += 1) {
      if (await tryLink(draft, ownerPath)) return ownedLock(ownerPath, self);
      const owner = await readFile(ownerPath, 'utf8').catch(() => '');
      if (owner !== '' && owner === describeProcess(Number(owner.split(' ')[0]))) {
        throw lockedError(path, ` by process ${owner.split(' ')[0]}`);
      }
      await rm(ownerPath, { force: true });
    }
  } catch (error) {
    throw toPfError(error, `cannot lock ${path}`);
  } finally {
    await rm(draft, { force: true });
  }
  throw lockedError(path, ': its lock file changes hands');
}

async function tryLink(draft: string, ownerPath: string): Promise<boolean> {
  try {
    await link(draft, ownerPath);
    return true;
  } catch (error) {
    if (systemCodeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

function ownedLock(ownerPath: string, self: string): HeldLock {
  let isHeld = true;
  return {
    async release() {
      if (!isHeld) return;
      isHeld = false;
      if ((await readFile(ownerPath, 'utf8').catch(() => '')) === self) await unlink(ownerPath);
    },
  };
}

/** "pid start-time boot-id", or '' when there is no such process: a recycled process id never looks like the old owner. */
function describeProcess(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const startTime = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    return `${pid} ${startTime} ${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}`;
  } catch {
    return '';
  }
}
