// Says whether this machine has what a test file needs. Called by run-tests.ts once per word.
//   root        user 0                      native     the built addon
//   io_uring    the kernel lets us use it   /dev/fuse  any absolute path: it must exist
//   libnbd-python  Debian's nbd module      kube, csi-sanity, csi-sidecars   these, or a Go to build them (program-sets.ts)
//   ublk-guest     a Linux with ublk to boot so, or what builds one (program-sets.ts)
//   guest       a Linux to boot as a process (e2e/vm), or Debian's package lists to get it from
//   any other word: a command on the path
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { PROGRAM_SETS } from './program-sets.ts';
import { canHaveLinux } from '../vm/linux-package.ts';

const PROBE_MS_MAX = 10_000;

export type NeedCheck = (need: string) => boolean;

/** The first need that is not met, or null. */
export function missingNeed(needs: readonly string[], check: NeedCheck): string | null {
  return needs.find((need) => !check(need)) ?? null;
}

/** The need as a person reads it. */
export function sayNeed(need: string): string {
  return PROGRAM_SETS[need]?.need ?? need;
}

/** A check of this machine that asks each question once. */
export function machineNeeds(root: string): NeedCheck {
  const answers = new Map<string, boolean>();
  return (need) => {
    const known = answers.get(need);
    if (known !== undefined) return known;
    const answer = ask(root, need);
    answers.set(need, answer);
    return answer;
  };
}

function ask(root: string, need: string): boolean {
  if (need === 'root') return process.getuid?.() === 0;
  if (need === 'native') return hasNativeAddon(root);
  if (need === 'io_uring') return hasNativeAddon(root) && canUseRing(root);
  if (need === 'libnbd-python') return spawnSync('/usr/bin/python3', ['-c', 'import nbd'], { stdio: 'ignore' }).status === 0;
  const programs = PROGRAM_SETS[need];
  if (programs !== undefined) return programs.canHave();
  if (need === 'guest') return canHaveLinux();
  if (need.startsWith('/')) return existsSync(need);
  return isCommand(need);
}

function hasNativeAddon(root: string): boolean {
  return existsSync(join(root, 'datapath/build/pureflash.node'));
}

/** Asks the program itself: a kernel that has io_uring may still forbid it to us. */
function canUseRing(root: string): boolean {
  const script = `
    const { openNodeWorld } = await import(${JSON.stringify(join(root, 'datapath/src/world/node/node-world.ts'))});
    const world = await openNodeWorld({ ports: 'io_uring' });
    process.exitCode = world.ports === 'io_uring' ? 0 : 1;
    await world.close();`;
  return (
    spawnSync(process.execPath, ['--input-type=module', '-e', script], { stdio: 'ignore', timeout: PROBE_MS_MAX }).status === 0
  );
}

function isCommand(name: string): boolean {
  // Debian keeps some tools for root where a user's path does not look.
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders.some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      return false; // Not there, or not executable: the next folder may have it.
    }
  });
}
