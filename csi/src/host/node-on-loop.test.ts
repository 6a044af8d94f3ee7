// The node service on the real machine: real mounts and filesystems on loop devices, below a folder of its own that stands for kubelet's.
// needs: root losetup mkfs.ext4 mkfs.xfs blkid findmnt fsfreeze /dev/loop-control
// deadline: 180s
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync, existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '@pureflash/datapath/base';
import { openNodeWorld, type World } from '@pureflash/datapath/world';
import { openNodeHandlers } from '../node.ts';
import type { Mount } from '../node/host.ts';
import { block, filesystem, Kubelet, quietLog, refusal } from '../node/testing/requests.ts';
import { LinuxHost } from './linux-host.ts';
import { Programs } from './run-program.ts';
import { LoopAttacher, runProgram } from './testing/loop-attacher.ts';

const root = mkdtempSync(join(tmpdir(), 'pf csi-node-'));
const kubeletDir = join(root, 'kubelet');
const attacher = new LoopAttacher(root);
const host = new LinuxHost();
let world: World;

async function kubelet(volumeId: string, sizeBytes = 64 * MiB): Promise<Kubelet> {
  attacher.createVolume(volumeId, sizeBytes);
  const volume = new Kubelet(await handlers(), kubeletDir, volumeId);
  mkdirSync(volume.stagingTargetPath);
  return volume;
}

function handlers(): ReturnType<typeof openNodeHandlers> {
  const { files } = world;
  return openNodeHandlers({
    host,
    attacher,
    files,
    log: quietLog,
    nodeId: 'node-1',
    stateFolder: join(root, 'state'),
    kubeletDirs: [kubeletDir],
  });
}

async function mountsBelow(): Promise<readonly Mount[]> {
  return (await host.mounts()).filter(({ path }) => path.startsWith(`${root}/`));
}

/** The kernel grows a mounted ext4 for those with CAP_SYS_RESOURCE only, which some sandboxes keep from root. */
function canGrowExt4(): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))![1];
  return ((BigInt(`0x${effective}`) >> 24n) & 1n) === 1n;
}

/** No mount, target, record or device is left; only the staging folder, which is kubelet's. */
async function assertNothingLeft(volume: Kubelet): Promise<void> {
  assert.equal(await mountsBelow(), []);
  assert.equal(readdirSync(kubeletDir), [volume.stagingTargetPath.split('/').at(-1)]);
  assert.equal(readdirSync(join(root, 'state')), []);
  assert.equal(await attacher.list(), []);
}

test.before(async () => {
  world = await openNodeWorld({ ports: 'libuv', log: quietLog });
  mkdirSync(kubeletDir);
});

test.after.each(() => {
  attacher.cleanUp();
  rmSync(kubeletDir, { recursive: true, force: true });
  rmSync(join(root, 'state'), { recursive: true, force: true });
  mkdirSync(kubeletDir);
});

test.after(async () => {
  attacher.cleanUp();
  await world.close();
  rmSync(root, { recursive: true, force: true });
});

for (const fsType of ['ext4', 'xfs'] as const) {
  test(`${fsType}: staged, published, written, moved to another pod, and nothing is left`, async () => {
    const volume = await kubelet(`life-${fsType}`, 320 * MiB);
    await volume.stage(filesystem(fsType));
    await volume.stage(filesystem(fsType));
    await volume.publish('a', filesystem(fsType));
    await volume.publish('a', filesystem(fsType));
    writeFileSync(join(volume.target('a'), 'hello'), 'kept');
    await volume.unpublish('a');
    await volume.unpublish('a');
    assert.not(existsSync(volume.target('a')));
    await volume.unstage();
    await volume.unstage();
    await assertNothingLeft(volume);

    await volume.stage(filesystem(''));
    await volume.publish('b', filesystem(''));
    assert.is(readFileSync(join(volume.target('b'), 'hello'), 'utf8'), 'kept');
    await volume.unpublish('b');
    await volume.unstage();
    await assertNothingLeft(volume);
  });

  test(`${fsType}: grows while it is mounted, and when it is staged again on a larger device`, async () => {
    const volume = await kubelet(`grow-${fsType}`, 320 * MiB);
    await volume.stage(filesystem(fsType));
    await volume.publish('a', filesystem(fsType));
    if (fsType === 'ext4' && !canGrowExt4()) {
      attacher.createVolume('grow-ext4', 512 * MiB);
      assert.match(await refusal(volume.expand(volume.target('a'))), /^PERMISSION_DENIED: .*CAP_SYS_RESOURCE/);
      return;
    }
    const before = (await host.usage(volume.target('a'))).totalBytes;
    attacher.createVolume(`grow-${fsType}`, 512 * MiB);
    assert.is(await volume.expand(volume.target('a'), filesystem(fsType), 512 * MiB), 512 * MiB);
    assert.is(await volume.expand(volume.stagingTargetPath, null, 512 * MiB), 512 * MiB);
    const after = (await host.usage(volume.target('a'))).totalBytes;
    assert.ok(after > before + 150 * MiB, `${before} -> ${after}`);
    assert.match(
      await refusal(volume.expand(volume.target('a'), null, 600 * MiB)),
      /^OUT_OF_RANGE: .*expand the volume itself first/,
    );
    await volume.unpublish('a');
    await volume.unstage();

    attacher.createVolume(`grow-${fsType}`, 640 * MiB);
    await volume.stage(filesystem(fsType));
    assert.ok((await host.usage(volume.stagingTargetPath)).totalBytes > after + 100 * MiB);
    await volume.unstage();
    await assertNothingLeft(volume);
  });
}

test('raw block: the pod gets the device itself, and a filesystem is refused while it has it', async () => {
  const volume = await kubelet('raw');
  await volume.stage(block());
  await volume.stage(block());
  await volume.publish('a', block());
  await volume.publish('a', block());
  const device = attacher.deviceOf('raw');
  assert.is((await host.look(volume.target('a'))).deviceNumber, (await host.look(device)).deviceNumber);
  execFileSync('dd', [`of=${volume.target('a')}`, 'bs=4096', 'conv=notrunc,fsync', 'status=none'], { input: 'raw bytes' });
  assert.match(await refusal(volume.stage(filesystem())), /^ALREADY_EXISTS: .*as raw block/);
  rmSync(join(root, 'state'), { recursive: true });
  mkdirSync(join(root, 'state'));
  assert.match(await refusal(volume.stage(filesystem())), /^ALREADY_EXISTS: .*as raw block at .*pod-a/);
  assert.match(await refusal(volume.unstage()), /^INVALID_STATE: .*still published at .*pod-a/);
  const { usage } = await volume.stats(volume.target('a'));
  assert.equal(usage, [{ unit: 'BYTES', total: 64 * MiB }]);
  attacher.createVolume('raw', 96 * MiB);
  assert.is(await volume.expand(volume.target('a'), block()), 96 * MiB);
  await volume.unpublish('a');
  assert.is(readFileSync(join(root, 'raw')).subarray(0, 9).toString(), 'raw bytes');
  await volume.unstage();
  await assertNothingLeft(volume);

  // What a pod has written raw is not taken for an empty device.
  assert.match(await refusal(volume.stage(filesystem())), /^INVALID_STATE: cannot format volume "raw": it holds data/);
  await volume.unstage();
});

test('raw data behind a beginning of zeros is kept', async () => {
  const volume = await kubelet('behind');
  await volume.stage(block());
  await volume.publish('a', block());
  const write = [`of=${volume.target('a')}`, 'bs=4096', 'seek=4096', 'conv=notrunc,fsync', 'status=none'];
  execFileSync('dd', write, { input: 'behind' });
  await volume.unpublish('a');
  await volume.unstage();
  const before = readFileSync(join(root, 'behind'));
  for (const fsType of ['ext4', 'xfs'] as const) {
    assert.match(
      await refusal(volume.stage(filesystem(fsType))),
      /^INVALID_STATE: cannot format volume "behind": it begins with zeros/,
    );
    await volume.unstage();
  }
  assert.ok(readFileSync(join(root, 'behind')).equals(before));
  await assertNothingLeft(volume);
});

test('read-only: by the pod, and by the access mode', async () => {
  const volume = await kubelet('reader');
  await volume.stage(filesystem());
  await volume.publish('a', filesystem());
  await volume.publish('b', filesystem(), true);
  writeFileSync(join(volume.target('a'), 'x'), '1');
  assert.throws(() => writeFileSync(join(volume.target('b'), 'x'), '2'), /EROFS/);
  assert.match(await refusal(volume.publish('b', filesystem())), /^ALREADY_EXISTS: .*read-only/);
  assert.match(await refusal(volume.publish('a', filesystem(), true)), /^ALREADY_EXISTS: .*for writing/);
  await volume.unpublish('a');
  await volume.unpublish('b');
  await volume.unstage();

  const readers = filesystem('ext4', 'MULTI_NODE_READER_ONLY');
  await volume.stage(readers);
  await volume.publish('c', readers);
  assert.is(readFileSync(join(volume.target('c'), 'x'), 'utf8'), '1');
  assert.throws(() => writeFileSync(join(volume.target('c'), 'x'), '2'), /EROFS/);
  assert.match(await refusal(volume.stage(filesystem())), /^ALREADY_EXISTS/);
  await volume.unpublish('c');
  await volume.unstage();
  await assertNothingLeft(volume);
});

test('a device with anything else on it is never formatted', async () => {
  const foreign = await kubelet('foreign');
  const attachment = { volume_name: 'foreign', attachment: 7, read_only: false };
  runProgram('mkfs.ext2', '-q', (await attacher.attach(attachment)).device);
  await attacher.detach('foreign');
  const before = readFileSync(join(root, 'foreign'));
  assert.match(await refusal(foreign.stage(filesystem())), /^INVALID_STATE: .*it holds ext2, which is left as it is/);
  assert.match(await refusal(foreign.stage(filesystem('xfs'))), /^INVALID_STATE: .*it holds ext2/);
  await foreign.unstage();

  const table = await kubelet('table');
  attacher.writeTo('table', 510, Uint8Array.of(0x55, 0xaa));
  attacher.writeTo('table', 450, Uint8Array.of(0x83, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0));
  assert.match(await refusal(table.stage(filesystem())), /^INVALID_STATE: .*it holds (dos|data)/);
  await table.unstage();
  assert.ok(before.equals(readFileSync(join(root, 'foreign'))), 'not one byte has changed');
});

test('a journal that was left open is replayed, and a wrecked filesystem is left to a person', async () => {
  const volume = await kubelet('wreck');
  await volume.stage(filesystem());
  await volume.unstage();
  // The root folder's inode table, away from the superblock.
  const layout = runProgram('dumpe2fs', join(root, 'wreck'));
  const table = Number(/Inode table at (\d+)/.exec(layout)![1]);
  attacher.writeTo('wreck', table * 4096, new Uint8Array(4096).fill(0x5a));
  assert.match(await refusal(volume.stage(filesystem())), /^CORRUPT: .*needs a person/);
  await volume.unstage();
});

test('statistics: bytes and inodes, and a condition that says what is wrong', async () => {
  const volume = await kubelet('stats');
  await volume.stage(filesystem());
  await volume.publish('a', filesystem());
  const well = await volume.stats(volume.target('a'));
  assert.is(well.abnormal, false);
  const [bytes, inodes] = well.usage as { unit: string; total: number; used: number; available: number }[];
  assert.ok(bytes!.unit === 'BYTES' && bytes!.total > 50 * MiB && bytes!.available > 40 * MiB && bytes!.used < bytes!.total);
  assert.ok(inodes!.unit === 'INODES' && inodes!.total > 1000 && inodes!.used + inodes!.available === inodes!.total);

  attacher.change('stats', { state: 'OVER' });
  assert.match((await volume.stats(volume.target('a'))).message, /attachment to this node has ended/);
  attacher.change('stats', { state: 'SERVING' });
  runProgram('mount', '-o', 'remount,ro', volume.stagingTargetPath);
  const stopped = await volume.stats(volume.target('a'));
  assert.ok(stopped.abnormal, stopped.message);
  for (const path of ['some/path', '/etc', `${kubeletDir}/pod-z`, `${kubeletDir}/../x`]) {
    assert.match(await refusal(volume.stats(path)), /^NOT_FOUND/, path);
  }
  await volume.unpublish('a');
  await volume.unstage();
  await assertNothingLeft(volume);
});

test('a filesystem that stops writing after an error says so', async () => {
  const volume = await kubelet('failing');
  await volume.stage(filesystem());
  await volume.publish('a', filesystem());
  const trigger = `/sys/fs/ext4/${attacher.deviceOf('failing').split('/').at(-1)}/trigger_fs_error`;
  writeFileSync(trigger, 'planted by a test');
  assert.throws(() => writeFileSync(join(volume.target('a'), 'x'), 'x'), /EROFS/);
  const { abnormal, message } = await volume.stats(volume.target('a'));
  assert.is(abnormal, true);
  assert.match(message, /has stopped writing after errors/);
  await volume.unpublish('a');
  await volume.unstage();
  // Staged again, it is checked first, and well.
  await volume.stage(filesystem());
  await volume.publish('a', filesystem());
  writeFileSync(join(volume.target('a'), 'x'), 'x');
  assert.is((await volume.stats(volume.target('a'))).abnormal, false);
  await volume.unpublish('a');
  await volume.unstage();
  await assertNothingLeft(volume);
});

test('a program that cannot even be killed is given up, and no second one is sent after it', async () => {
  const volume = await kubelet('frozen');
  await volume.stage(filesystem());
  const path = volume.stagingTargetPath;
  const programs = new Programs('');
  const touch = { program: 'touch', args: [join(path, 'x')], subject: path, deadlineMs: 200 };
  runProgram('fsfreeze', '--freeze', path);
  try {
    assert.match(await refusal(programs.run(touch)), /^TIMEOUT: touch on .* did not end within 0.2 s/);
    assert.match(
      await refusal(programs.run(touch)),
      /^UNAVAILABLE: cannot run touch on .*: touch \(process \d+\) still hangs there/,
    );
  } finally {
    runProgram('fsfreeze', '--unfreeze', path);
  }
  const untilMs = performance.now() + 10_000;
  while ((await refusal(programs.run(touch))) !== '') {
    assert.ok(performance.now() < untilMs, 'it runs again once the device answers');
    await new Promise((resume) => setImmediate(resume));
  }
  await volume.unstage();
  await assertNothingLeft(volume);
});

test('what mkfs.ext4 is told to make, the kernels of five years ago mount', async () => {
  const volume = await kubelet('features');
  await volume.stage(filesystem());
  await volume.unstage();
  const said = runProgram('dumpe2fs', '-h', join(root, 'features'));
  const features = /^Filesystem features:\s+(.*)$/m.exec(said)![1]!.split(' ').sort().join(' ');
  assert.is(
    features,
    '64bit dir_index dir_nlink ext_attr extent extra_isize filetype flex_bg has_journal huge_file large_file metadata_csum resize_inode sparse_super',
  );
  assert.match(said, /^Errors behavior:\s+Remount read-only$/m);
  assert.match(said, /^Block size:\s+4096$/m);
  assert.match(said, /^Reserved block count:\s+0$/m);
});

test('a volume for one pod has one target', async () => {
  const volume = await kubelet('single');
  const capability = filesystem('ext4', 'SINGLE_NODE_SINGLE_WRITER');
  await volume.stage(capability);
  await volume.publish('a', capability);
  await volume.publish('a', capability);
  assert.match(await refusal(volume.publish('b', capability)), /^INVALID_STATE: .*for one pod.*pod-a/);
  await volume.unpublish('a');
  await volume.publish('b', capability);
  await volume.unpublish('b');
  await volume.unstage();
  await assertNothingLeft(volume);
});

test('what is in use is not unmounted, and what is not ours is not removed', async () => {
  const volume = await kubelet('busy');
  await volume.stage(filesystem());
  await volume.publish('a', filesystem());
  const holder = join(volume.target('a'), 'open');
  writeFileSync(holder, '');
  const { openSync, closeSync } = await import('node:fs');
  const file = openSync(holder, 'r+');
  assert.match(await refusal(volume.unpublish('a')), /^INVALID_STATE: cannot unmount .*busy/);
  closeSync(file);
  await volume.unpublish('a');
  mkdirSync(volume.target('a'));
  writeFileSync(join(volume.target('a'), 'precious'), 'x');
  assert.match(await refusal(volume.unpublish('a')), /^INVALID_STATE: cannot remove folder/);
  writeFileSync(volume.target('b'), 'precious');
  assert.match(await refusal(volume.unpublish('b')), /^INVALID_STATE: cannot remove the target .*a file of 8 bytes/);
  assert.is(readFileSync(join(volume.target('a'), 'precious'), 'utf8'), 'x');
  await volume.unstage();
});

test('hostile paths are refused before anything is touched', async () => {
  const volume = await kubelet('hostile');
  mkdirSync(join(root, 'outside'));
  symlinkSync(join(root, 'outside'), join(kubeletDir, 'link'));
  await volume.stage(filesystem());
  const paths = [
    '',
    'relative',
    '/etc',
    kubeletDir,
    `${kubeletDir}/`,
    `${kubeletDir}//x`,
    `${kubeletDir}/./x`,
    `${kubeletDir}/../outside/x`,
  ];
  const more = [
    `${kubeletDir}/link`,
    `${kubeletDir}/link/x`,
    `${kubeletDir}/a\nb`,
    `${kubeletDir}/a\0b`,
    `${kubeletDir}x/y`,
    `${kubeletDir}/${'n'.repeat(256)}`,
  ];
  for (const path of [...paths, ...more, `${kubeletDir}${'/n'.repeat(2100)}`]) {
    assert.match(await refusal(volume.publish('', filesystem(), false, path)), /^INVALID_ARGUMENT: target_path/, path);
    assert.match(await refusal(volume.unpublish('', path)), /^INVALID_ARGUMENT: target_path/, path);
    assert.match(await refusal(volume.unstage(path)), /^INVALID_ARGUMENT: staging_target_path/, path);
  }
  const other = new Kubelet(await handlers(), kubeletDir, 'other');
  assert.match(
    await refusal(other.unstage(volume.stagingTargetPath)),
    /^INVALID_ARGUMENT: .*is where volume "hostile" is staged/,
  );
  assert.match(
    await refusal(other.unpublish('', volume.stagingTargetPath)),
    /^INVALID_ARGUMENT: .*is where volume "hostile" is published/,
  );
  assert.match(await refusal(volume.unpublish('', volume.stagingTargetPath)), /^INVALID_ARGUMENT: .*staging path/);
  await volume.unpublish('', `${kubeletDir}/$(touch ${root}/pwned); \`x\``);
  assert.equal(readdirSync(join(root, 'outside')), []);
  assert.not(existsSync(join(root, 'pwned')));
  assert.is((await mountsBelow()).length, 1);
  await volume.unstage();
});

test.run();
