// A block device as a disk: a loop device over a file. On io_uring and on libuv.
// needs: root losetup
// ports: both
// optional
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../base/sizes.ts';
import { silentLogger } from '../log.ts';
import { answer, codeOf, fillPattern, findMismatch, inWorld } from '../testing/contract-world.ts';
import { openNodeWorld } from './node-world.ts';
import { makeTestFolder } from './test-folder.ts';

const newPath = makeTestFolder();
const openWorld = () => openNodeWorld({ log: silentLogger });
let device = '';

test.before(() => {
  const backing = newPath('backing');
  writeFileSync(backing, new Uint8Array(16 * MiB));
  device = execFileSync('losetup', ['--find', '--show', backing], { encoding: 'utf8' }).trim();
});

test.after(() => {
  execFileSync('losetup', ['--detach', device]);
});

test(
  'size and sector size are what the kernel says, and what is written is read back',
  inWorld(openWorld, async (world) => {
    const disk = await world.disks.open(device, {});
    assert.is(disk.sizeBytes, 16 * MiB);
    assert.is(disk.blockSizeBytes, 512);
    const slot = world.memory.acquireSlot(65_536);
    fillPattern(world, slot, 65_536, 0);
    assert.is(await answer((done) => disk.write(65_536, slot, 65_536, true, done)), 0);
    assert.is(await answer((done) => disk.flush(done)), 0);
    world.memory.bytes.fill(0, slot, slot + 65_536);
    assert.is(await answer((done) => disk.read(65_536, slot, 65_536, done)), 0);
    assert.is(findMismatch(world, slot, 65_536, 0), -1);
    assert.is(await answer((done) => disk.discard(65_536, 65_536, done)), 0);
    await disk.close();
  }),
);

test(
  'it is exclusive, and cannot be opened while it is mounted or used otherwise',
  inWorld(openWorld, async (world) => {
    const disk = await world.disks.open(device, {});
    assert.is(await codeOf(world.disks.open(device, {})), 'INVALID_STATE');
    await disk.close();
    await (await world.disks.open(device, { isReadOnly: true })).close();
  }),
);

test.run();
