// The guest's kernel and its static shell: Debian's own packages, downloaded once without being installed and unpacked below build/vm. User
// Mode Linux is the Linux kernel as an ordinary process, with modules for what most machines that run tests do not have.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '../..');
const FOLDER = join(ROOT, 'build/vm');
const UNPACKED = join(FOLDER, 'unpacked');
const PACKAGES = ['user-mode-linux', 'busybox-static'];
const DOWNLOAD_MS_MAX = 300_000;

export interface LinuxPackage {
  readonly kernel: string;
  readonly busybox: string;
  /** Holds modules.dep. */
  readonly modulesFolder: string;
}

/** True where the packages are unpacked already, or can be had from the package lists of this machine. */
export function canHaveLinux(): boolean {
  if (process.arch !== 'x64') return false;
  if (findLinux() !== null) return true;
  const known = spawnSync('apt-cache', ['policy', ...PACKAGES], { encoding: 'utf8' });
  return known.status === 0 && (known.stdout.match(/Candidate: (?!\(none\))/g) ?? []).length === PACKAGES.length;
}

/** Downloads and unpacks what is missing. */
export function linuxPackage(): LinuxPackage {
  const found = findLinux();
  if (found !== null) return found;
  const draft = join(FOLDER, `draft-${process.pid}`);
  mkdirSync(draft, { recursive: true });
  try {
    run('apt-get', ['-q', 'download', ...PACKAGES], draft);
    for (const file of readdirSync(draft).filter((name) => name.endsWith('.deb')))
      run('dpkg-deb', ['-x', file, 'unpacked'], draft);
    rmSync(UNPACKED, { recursive: true, force: true });
    renameSync(join(draft, 'unpacked'), UNPACKED);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
  const fresh = findLinux();
  if (fresh === null) throw new Error(`the packages ${PACKAGES.join(' and ')} do not hold what is wanted; look into ${UNPACKED}`);
  return fresh;
}

function findLinux(): LinuxPackage | null {
  const kernel = join(UNPACKED, 'usr/bin/linux.uml');
  const busybox = join(UNPACKED, 'bin/busybox');
  const modules = join(UNPACKED, 'usr/lib/uml/modules');
  if (![kernel, busybox, modules].every((path) => existsSync(path))) return null;
  const version = readdirSync(modules)[0];
  return version === undefined ? null : { kernel, busybox, modulesFolder: join(modules, version) };
}

function run(command: string, args: readonly string[], folder: string): void {
  const { status, stderr, error } = spawnSync(command, args, { cwd: folder, encoding: 'utf8', timeout: DOWNLOAD_MS_MAX });
  if (status !== 0) throw new Error(`cannot get the guest's kernel: ${command} ${args.join(' ')}: ${error?.message ?? stderr}`);
}
