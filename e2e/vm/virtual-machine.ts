// Runs a command in a virtual machine whose files are this machine's, read-only under a layer in memory, and whose kernel is a User
// Mode Linux, Debian's unless told. The guest has one processor, its own sockets and block devices, and ends with the command or at its deadline; nothing of
// it stays. Not for production kernels' speed: system calls cost more there.
import { spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { linuxPackage, type LinuxPackage } from './linux-package.ts';

export interface GuestJob {
  /** Lines for the guest's /bin/sh, which runs them as root. */
  readonly script: string;
  /** Default: Debian's own. One without a folder of modules has what it needs built in. */
  readonly linux?: LinuxPackage;
  /** Kernel modules, "name" or "name:argument=value". Default: none but what the root file system needs. */
  readonly modules?: readonly string[];
  readonly memoryMiB?: number;
  readonly deadlineMs: number;
  /** Gets what the guest says while it runs. */
  readonly onOutput?: (text: string) => void;
}

export interface GuestResult {
  /** Of the script; null when the guest did not get so far. */
  readonly status: number | null;
  readonly isOverdue: boolean;
  readonly output: string;
}

/** Noise of the kernel that means nothing: it looks for a disk that it was not given. */
const NOISE = /^.*ubd device 0.*\n/gm;
/**
 * Starts the guest, which makes a group of its own, and waits for it, while a second process waits for this program: when it lets descriptor
 * 3 go or ends, however that happens, the guest ends and the folder ($0) goes.
 */
const LEASH = '"$@" 3<&- & guest=$!; (read end <&3; kill -9 -$guest $guest; rm -rf "$0"; kill -9 -$$) & exec 3<&-; wait $guest';

export async function runInGuest(job: GuestJob): Promise<GuestResult> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'pureflash-guest-')));
  try {
    writeFileSync(join(folder, 'command'), job.script);
    copyFileSync(join(import.meta.dirname, 'guest-init.sh'), join(folder, 'init'));
    chmodSync(join(folder, 'init'), 0o755);
    const { output, isOverdue } = await runKernel(job, folder);
    const statusFile = join(folder, 'status');
    const status = existsSync(statusFile) ? Number(readFileSync(statusFile, 'utf8')) : null;
    return { status, isOverdue, output: output.replace(NOISE, '') };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function runKernel(job: GuestJob, folder: string): Promise<{ output: string; isOverdue: boolean }> {
  const { kernel, busybox, modulesFolder } = job.linux ?? linuxPackage();
  const modules = modulesFolder === '' ? [] : ['overlay', ...(job.modules ?? [])];
  const args = [
    `mem=${job.memoryMiB ?? 768}M`,
    ...[
      'root=/dev/root',
      'rootfstype=hostfs',
      'rootflags=/',
      'ro',
      'con=null',
      'con0=null,fd:1',
      'quiet',
      'loglevel=1',
      'panic=-1',
    ],
    `init=${join(folder, 'init')}`,
    `BUSYBOX=${busybox}`,
    `JOB=${folder}`,
    `MODULES_FOLDER=${modulesFolder}`,
    `MODULES=${modules.join(',')}`,
  ];
  return new Promise((resolve, reject) => {
    // The guest is several processes, in a group of their own; its memory is a file without a name.
    const env = { ...process.env, TMPDIR: existsSync('/dev/shm') ? '/dev/shm' : folder, HOME: folder };
    const command = ['-c', LEASH, folder, kernel, ...args, `uml_dir=${folder}`];
    const child = spawn('/bin/sh', command, { detached: true, stdio: ['ignore', 'pipe', 'pipe', 'pipe'], env });
    let output = '';
    let isOverdue = false;
    const take = (text: string): void => {
      output += text;
      job.onOutput?.(text);
    };
    for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', take);
    const deadline = setTimeout(() => {
      isOverdue = true;
      child.stdio[3]?.destroy();
    }, job.deadlineMs);
    child.once('error', reject);
    child.once('exit', () => endGroup(child));
    child.once('close', () => {
      clearTimeout(deadline);
      resolve({ output, isOverdue });
    });
  });
}

function endGroup(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  } catch {
    // ESRCH: the group has ended, which is what was wanted.
  }
}
