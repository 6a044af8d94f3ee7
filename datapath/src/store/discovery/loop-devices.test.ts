// The discovery on real block devices of this machine: loop devices over files, in every use that can be made here.
// needs: root losetup mkfs.ext4 mount
// ports: both
// optional
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readdirSync, symlinkSync, truncateSync, writeSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { storeUuid } from '../../base/ids.ts';
import { MiB } from '../../base/sizes.ts';
import { silentLogger } from '../../world/log.ts';
import { openNodeWorld } from '../../world/node/node-world.ts';
import { makeTestFolder } from '../../world/node/test-folder.ts';
import type { World } from '../../world/world.ts';
import { formatDisk } from '../disk/format-disk.ts';
import type { Device } from './device.ts';
import { discover } from './discover.ts';

const newPath = makeTestFolder();
const PATH = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;
const attached: string[] = [];
let world: World;

function run(program: string, ...rest: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(program, rest, { encoding: 'utf8', env: { ...process.env, PATH } });
  assert.is(status, 0, `${program} ${rest.join(' ')}: ${stderr}`);
  return stdout.trim();
}

/** A new loop device over a file of 32 MiB that starts with `bytes`. */
function attach(bytes: Uint8Array = new Uint8Array(0)): string {
  const file = newPath('image');
  const fd = openSync(file, 'w', 0o600);
  writeSync(fd, bytes);
  closeSync(fd);
  truncateSync(file, 32 * MiB);
  const device = run('losetup', '--find', '--show', '--partscan', file);
  attached.push(device);
  return device;
}

/** Sees the machine through a root that shows this device only: others may be in use by other tests. */
async function lookAt(path: string, allowsLoop = true): Promise<Device> {
  const root = newPath('root');
  mkdirSync(join(root, 'sys/block'), { recursive: true });
  symlinkSync(join('/sys/block', basename(path)), join(root, 'sys/block', basename(path)));
  for (const folder of ['dev', 'proc']) symlinkSync(`/${folder}`, join(root, folder));
  const { report } = await discover(world, { root, allowsLoop });
  assert.is(report.devices.length, 1);
  return report.devices[0]!;
}

test.before(async () => {
  world = await openNodeWorld({ log: silentLogger, memoryBytes: 64 * MiB });
});

test.after(async () => {
  await world.close();
  for (const device of attached) spawnSync('losetup', ['--detach', device], { env: { ...process.env, PATH } });
});

test('a blank one is blank; without leave it is no candidate and is not looked at', async () => {
  const path = attach();
  const device = await lookAt(path);
  assert.equal([device.path, device.use, device.candidate, device.sizeBytes], [path, 'blank', 'any', 33554432]);
  const strict = await lookAt(path, false);
  assert.equal([strict.use, strict.candidate, strict.usedBy], ['foreign', 'never', 'loop device: for laboratories only']);
});

test('one that a store has open is of use store, and in use', async () => {
  const path = attach();
  const disk = await world.disks.open(path, {});
  await formatDisk(world, disk, { storeUuid: storeUuid('11111111-2222-4333-8444-555555555555') });
  const open = await lookAt(path);
  assert.equal([open.use, open.isInUse, open.storeUuid], ['store', true, '11111111-2222-4333-8444-555555555555']);
  await disk.close();
  const closed = await lookAt(path);
  assert.equal([closed.use, closed.isInUse, closed.diskUuid], ['store', false, open.diskUuid]);
});

test('a file system says where it is mounted', async () => {
  const path = attach();
  run('mkfs.ext4', '-q', path);
  const before = await lookAt(path);
  assert.equal([before.use, before.usedBy, before.isInUse], ['foreign', 'ext4', false]);
  const folder = newPath('mount point');
  mkdirSync(folder);
  run('mount', path, folder);
  try {
    const mounted = await lookAt(path);
    assert.equal([mounted.usedBy, mounted.isInUse], [`ext4, mounted on ${folder}`, true]);
  } finally {
    run('umount', folder);
  }
});

test('partitions are counted and named as the kernel names them', async () => {
  const sector = new Uint8Array(512);
  sector.set([0x55, 0xaa], 510);
  // Two Linux partitions of 4096 sectors, at sectors 2048 and 8192.
  sector.set([0, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 16, 0, 0], 446);
  sector.set([0, 0, 0, 0, 0x83, 0, 0, 0, 0, 32, 0, 0, 0, 16, 0, 0], 462);
  const path = attach(sector);
  const device = await lookAt(path);
  assert.equal([device.use, device.usedBy], ['foreign', 'MBR with 2 partitions']);
  // A kernel without support for this kind of table shows none.
  const shown = readdirSync(`/sys/block/${device.name}`).filter((name) => name.startsWith(device.name));
  assert.equal(
    device.partitions,
    shown.map((name) => ({ name, sizeBytes: 2097152, usedBy: null })),
  );
});

test.run();
