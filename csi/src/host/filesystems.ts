// What each filesystem's own programs are told. Used by LinuxHost.
// Formats name their features one by one, so that the newest mkfs makes what the oldest kernel of a cluster mounts (4.18), and never
// discard: a new thin volume has nothing to give back, and asking for all of it costs a request for every piece.
import { PfError } from '@pureflash/datapath/base';
import type { FsType } from '../node/host.ts';
import { programFailed, type Programs } from './run-program.ts';

const FORMAT_MS = 300_000;
const CHECK_MS = 900_000;
const GROW_MS = 300_000;

/** Without those that came later: orphan_file (5.15), metadata_csum_seed (its e2fsprogs). `none` first: the list is the whole truth. */
const EXT4_FEATURES = [
  'none',
  'has_journal',
  'ext_attr',
  'resize_inode',
  'dir_index',
  'filetype',
  'extent',
  '64bit',
  'flex_bg',
  'sparse_super',
  'large_file',
  'huge_file',
  'dir_nlink',
  'extra_isize',
  'metadata_csum',
].join(',');

/** e2fsck: 1 is "corrected", 2 "corrected, and reboot if it was the root filesystem", 4 and up are failures. */
const E2FSCK_FAILED_FROM = 4;
const E2FSCK_UNCORRECTED = 4;

/** mkfs.ext4 has no question to ask without a terminal; what may be overwritten was decided before. mkfs.xfs wants -f for it. */
export async function formatDevice(programs: Programs, device: string, fsType: FsType, isOverwriting: boolean): Promise<void> {
  const call = { subject: device, deadlineMs: FORMAT_MS };
  if (fsType === 'ext4') {
    const lazy = 'lazy_itable_init=1,lazy_journal_init=1,nodiscard';
    const args = ['-q', '-b', '4096', '-m', '0', '-e', 'remount-ro', '-O', EXT4_FEATURES, '-E', lazy, '--', device];
    await programs.run({ ...call, program: 'mkfs.ext4', args, packageName: 'e2fsprogs' });
    return;
  }
  const force = isOverwriting ? ['-f'] : [];
  const args = ['-q', '-K', ...force, '-m', 'crc=1,finobt=1,rmapbt=0,bigtime=0,inobtcount=0', '-i', 'nrext64=0', '--', device];
  await programs.run({ ...call, program: 'mkfs.xfs', args, packageName: 'xfsprogs' });
}

/** ext4: preen, which also replays the journal. xfs: its mount replays the log, and there is no preen. */
export async function checkFilesystem(programs: Programs, device: string, fsType: FsType): Promise<void> {
  if (fsType === 'xfs') return;
  const accepted = Array.from({ length: 128 }, (_, status) => status);
  const call = {
    program: 'e2fsck',
    args: ['-p', '--', device],
    subject: device,
    deadlineMs: CHECK_MS,
    packageName: 'e2fsprogs',
    accepted,
  };
  const { status, stdout, stderr } = await programs.run(call);
  if (status < E2FSCK_FAILED_FROM) return;
  const words = `${stdout.toString('utf8').trim()} ${stderr}`
    .trim()
    .replaceAll(/\s*\n\s*/g, '; ')
    .slice(0, 2000);
  if ((status & E2FSCK_UNCORRECTED) !== 0) {
    throw new PfError('CORRUPT', `the ext4 filesystem on ${device} needs a person to repair it (e2fsck without -p): ${words}`);
  }
  throw new PfError('IO_ERROR', `e2fsck on ${device} failed with status ${status}: ${words}`);
}

export async function growFilesystem(programs: Programs, device: string, path: string, fsType: FsType): Promise<void> {
  const call = { subject: device, deadlineMs: GROW_MS };
  if (fsType === 'xfs') {
    await programs.run({ ...call, program: 'xfs_growfs', args: ['-d', '--', path], packageName: 'xfsprogs' });
    return;
  }
  const result = await programs.run({
    ...call,
    program: 'resize2fs',
    args: ['--', device],
    packageName: 'e2fsprogs',
    accepted: [0, 1],
  });
  if (result.status === 0) return;
  if (!result.stderr.includes('Permission denied')) throw programFailed('resize2fs', device, result);
  const advice = 'a mounted ext4 is grown with CAP_SYS_RESOURCE only, so give this program that capability';
  throw new PfError('PERMISSION_DENIED', `cannot grow ext4 on ${device}: ${advice}`, {
    cause: programFailed('resize2fs', device, result),
  });
}
