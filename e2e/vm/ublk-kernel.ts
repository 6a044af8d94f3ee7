// The kernel of the guest that tests ublk: User Mode Linux built from Debian's own kernel source with what ublk-kernel.config names, once, into
// build/vm/ublk, because no UML that Debian builds has ublk. Called by build-ublk-kernel.ts, the test runner and ublk-contract.test.ts.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { canHaveLinux, linuxPackage, type LinuxPackage } from './linux-package.ts';

export const FOLDER = resolve(import.meta.dirname, '../../build/vm/ublk');
export const CONFIG = join(import.meta.dirname, 'ublk-kernel.config');
/** Goes up when build-ublk-kernel.ts builds something else from the same configuration. */
const RECIPE = 1;
const KERNEL = join(FOLDER, 'linux');
export const STAMP = join(FOLDER, 'stamp');
/** What must be installed; the rest of what a kernel's build wants is unpacked beside it. */
const COMMANDS = ['cc', 'make', 'ld', 'xz', 'tar', 'dpkg-deb', 'apt-get', 'apt-cache'];

export function hasUblkKernel(): boolean {
  return existsSync(KERNEL) && existsSync(STAMP) && readFileSync(STAMP, 'utf8') === wantedStamp();
}

/** True when it is there, or can be built here. */
export function canHaveUblkKernel(): boolean {
  if (!canHaveLinux()) return false;
  return hasUblkKernel() || (COMMANDS.every(isCommand) && debianMirror() !== null);
}

/** Without modules; the shell is that of the other guests. */
export function ublkLinux(): LinuxPackage {
  if (!hasUblkKernel())
    throw new Error('there is no kernel with ublk: run node_modules/.bin/node e2e/vm/build-ublk-kernel.ts, which builds one');
  return { kernel: KERNEL, busybox: linuxPackage().busybox, modulesFolder: '' };
}

/** A change of what it is made with makes another one. */
export function wantedStamp(): string {
  return createHash('sha256').update(`${RECIPE}\n`).update(readFileSync(CONFIG)).digest('hex');
}

/** Where this machine gets Debian's packages. */
export function debianMirror(): string | null {
  const args = ['indextargets', '--format', '$(LABEL) $(REPO_URI)', 'Created-By: Packages'];
  const { status, stdout } = spawnSync('apt-get', args, { encoding: 'utf8' });
  if (status !== 0) return null;
  return /^Debian (\S+)$/m.exec(stdout)?.[1] ?? null;
}

export function isCommand(name: string): boolean {
  return spawnSync('/bin/sh', ['-c', 'command -v "$0"', name], { stdio: 'ignore' }).status === 0;
}
