// Signatures against what the real programs of the machine write, on images in files.
// needs: mkfs.ext4 mkfs.ext3 mkfs.ext2 mkswap
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, truncateSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../base/sizes.ts';
import { silentLogger } from '../../world/log.ts';
import { openNodeWorld } from '../../world/node/node-world.ts';
import { makeTestFolder } from '../../world/node/test-folder.ts';
import { findContent } from './blank-check.ts';

const newPath = makeTestFolder();
const PATH = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;

async function contentAfter(...command: readonly string[]): Promise<string | null> {
  const path = newPath('image');
  closeSync(openSync(path, 'w', 0o600));
  truncateSync(path, 64 * MiB);
  const [program = '', ...rest] = command;
  const { status, stderr } = spawnSync(program, [...rest, path], { encoding: 'utf8', env: { ...process.env, PATH } });
  assert.is(status, 0, `${command.join(' ')}: ${stderr}`);
  const world = await openNodeWorld({ log: silentLogger, memoryBytes: 16 * MiB });
  const disk = await world.disks.open(path, { isReadOnly: true });
  const content = await findContent(disk, world.memory);
  await disk.close();
  await world.close();
  return content;
}

for (const version of ['ext4', 'ext3', 'ext2']) {
  test(`mkfs.${version} makes ${version}`, async () => {
    assert.is(await contentAfter(`mkfs.${version}`, '-q', '-F'), version);
  });
}

test('mkswap makes swap, in pages of 4096 bytes and of 65536', async () => {
  assert.is(await contentAfter('mkswap'), 'swap');
  assert.is(await contentAfter('mkswap', '--pagesize', '65536'), 'swap');
});

test('an untouched image is blank', async () => {
  assert.is(await contentAfter('true'), null);
});

test.run();
