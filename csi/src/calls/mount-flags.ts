// Mount options that an administrator may give in a storage class or volume. Passed on one by one; those with which mount(8) would do
// something else than mount this filesystem on this path are refused by name.
import { PfError } from '@pureflash/datapath/base';

const FLAGS_MAX = 64;
const FLAG_LENGTH_MAX = 512;
const PLAIN = /^[A-Za-z0-9_][A-Za-z0-9_.:=@%+\/-]*$/;
/** An SELinux context as kubelet passes it: context="system_u:object_r:container_file_t:s0:c15,c25" */
const CONTEXT = /^(context|fscontext|defcontext|rootcontext)=("[A-Za-z0-9_.:,-]+"|[A-Za-z0-9_.:-]+)$/;

const REFUSED: ReadonlySet<string> = new Set([
  'bind',
  'rbind',
  'move',
  'remount',
  'loop',
  'offset',
  'sizelimit',
  'encryption',
  'helper',
  'uhelper',
  'auto',
  'noauto',
  'user',
  'users',
  'owner',
  'group',
  'nofail',
  '_netdev',
  'defaults',
  'shared',
  'rshared',
  'slave',
  'rslave',
  'private',
  'rprivate',
  'unbindable',
  'runbindable',
  'journal_path',
  'journal_dev',
  'logdev',
  'rtdev',
  'ro',
  'rw',
]);

const ADVICE: Readonly<Record<string, string>> = {
  ro: 'ask for a read-only access mode, or mount it read-only in the pod',
  rw: 'it is the default',
};

/** In the order given, each once. Error INVALID_ARGUMENT. */
export function readMountFlags(flags: readonly string[]): readonly string[] {
  if (flags.length > FLAGS_MAX) throw refuse(`${flags.length} of them, at most ${FLAGS_MAX} are taken`);
  for (const flag of flags) {
    const shown = JSON.stringify(flag.slice(0, 100));
    if (flag.length > FLAG_LENGTH_MAX) throw refuse(`${shown}... is longer than ${FLAG_LENGTH_MAX} characters`);
    if (CONTEXT.test(flag)) continue;
    if (!PLAIN.test(flag)) throw refuse(`${shown} is no single mount option`);
    const name = flag.split('=', 1)[0]!.toLowerCase();
    if (REFUSED.has(name) || name.startsWith('x-') || name.startsWith('verity')) {
      throw refuse(`${shown} is not for a volume${ADVICE[name] === undefined ? '' : `: ${ADVICE[name]}`}`);
    }
  }
  return [...new Set(flags)];
}

function refuse(complaint: string): PfError {
  return new PfError('INVALID_ARGUMENT', `mount_flags: ${complaint}`);
}
