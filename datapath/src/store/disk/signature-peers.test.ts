// Signatures against what programs write that few machines have all of; as signature-images.test.ts does with the common ones.
// needs: mkfs.xfs mkfs.btrfs mkfs.vfat mkfs.f2fs mkfs.ntfs sfdisk sgdisk cryptsetup
// optional
import { spawnSync } from 'node:child_process';
import { truncateSync, writeFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../base/sizes.ts';
import { silentLogger } from '../../world/log.ts';
import { openNodeWorld } from '../../world/node/node-world.ts';
import { makeTestFolder } from '../../world/node/test-folder.ts';
import { findContent } from './blank-check.ts';

const newPath = makeTestFolder();
const PATH = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;
const QUICK_LUKS = ['--batch-mode', '--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'];

/** IMAGE in the command stands for the image; `input` goes to standard input. */
const CASES: readonly (readonly [string, readonly string[], string?])[] = [
  ['XFS', ['mkfs.xfs', '-q', 'IMAGE']],
  ['Btrfs', ['mkfs.btrfs', '-q', 'IMAGE']],
  ['FAT', ['mkfs.vfat', '-F', '32', 'IMAGE']],
  ['FAT', ['mkfs.vfat', '-F', '16', 'IMAGE']],
  ['F2FS', ['mkfs.f2fs', '-q', 'IMAGE']],
  ['NTFS', ['mkfs.ntfs', '--quick', '--force', 'IMAGE']],
  ['GPT with 3 partitions', ['sgdisk', '-n', '1:0:+8M', '-n', '2:0:+8M', '-n', '5:0:+8M', 'IMAGE']],
  ['GPT with no partition', ['sfdisk', '--quiet', 'IMAGE'], 'label: gpt\n'],
  ['MBR with 2 partitions', ['sfdisk', '--quiet', 'IMAGE'], 'label: dos\n,8MiB\n,8MiB\n'],
  ['MBR without partitions, or a boot sector', ['sfdisk', '--quiet', 'IMAGE'], 'label: dos\n'],
  [
    'LUKS1',
    ['cryptsetup', 'luksFormat', '--type', 'luks1', ...QUICK_LUKS.slice(0, 1), '--iter-time', '1', 'IMAGE', '-'],
    'secret',
  ],
  ['LUKS2', ['cryptsetup', 'luksFormat', '--type', 'luks2', ...QUICK_LUKS, 'IMAGE', '-'], 'secret'],
];

for (const [name, [program = '', ...rest], input = ''] of CASES) {
  test(`${program} ${rest.slice(0, 3).join(' ')} makes ${name}`, async () => {
    const path = newPath('image');
    writeFileSync(path, '');
    truncateSync(path, 512 * MiB);
    const words = rest.map((word) => (word === 'IMAGE' ? path : word));
    const { status, stderr } = spawnSync(program, words, { encoding: 'utf8', input, env: { ...process.env, PATH } });
    assert.is(status, 0, stderr);
    const world = await openNodeWorld({ log: silentLogger, memoryBytes: 16 * MiB });
    const disk = await world.disks.open(path, { isReadOnly: true });
    assert.is(await findContent(disk, world.memory), name);
    await disk.close();
    await world.close();
  });
}

test.run();
