// A mounted device whose mapping's record was damaged while its server was dead: the kernel and the holder say what there is, so it goes on.
// deadline: 120s
// needs: root native mkfs.ext4 /dev/fuse /dev/loop-control
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MapperRig } from '../testing/mapper-rig.ts';

const SIZE = 64 * 1024 ** 2;

interface Record {
  readonly holder: { readonly pid: number; readonly startTicks: number; readonly bootId: string };
}

/** What befalls a record; null: it is gone. */
const DAMAGES: readonly (readonly [string, (record: Record) => string | null])[] = [
  ['empty', () => ''],
  ['cut off', (record) => JSON.stringify(record).slice(0, -20)],
  ['without a holder', (record) => JSON.stringify({ ...record, holder: null })],
  ['with another holder', ({ holder, ...rest }) => JSON.stringify({ ...rest, holder: { ...holder, startTicks: 1 } })],
  ['gone', () => null],
];

let rig: MapperRig;

test.before(async () => {
  rig = await MapperRig.open('fuse');
});

test.after(() => rig.close());

test('a mounted device goes on, whatever its record says, and the record is made anew', async () => {
  const name = `${rig.prefix}damaged`;
  let server = await rig.serve(name, SIZE);
  await rig.succeed('mkfs.ext4', '-q', server.devicePath);
  await rig.succeed('mount', server.devicePath, rig.mountPoint);
  const path = join(rig.folder, `${name}.mapping.json`);
  const whole = readFileSync(path, 'utf8');
  for (const [how, damage] of DAMAGES) {
    await server.kill();
    const text = damage(JSON.parse(whole) as Record);
    if (text === null) rmSync(path);
    else writeFileSync(path, text);
    server = await rig.serve(name, SIZE);
    assert.is(server.how, 'adopted', how);
    await rig.succeed(
      'dd',
      'if=/dev/urandom',
      `of=${rig.mountPoint}/${how}`,
      'bs=4096',
      'count=64',
      'oflag=direct',
      'status=none',
    );
    assert.is(readFileSync(path, 'utf8'), whole, how);
  }
  await rig.succeed('umount', rig.mountPoint);
  await rig.succeed('fsck.ext4', '-fn', server.devicePath);
  await server.tell('unmap');
  assert.not(existsSync(path));
  assert.equal(rig.leftovers(), []);
});

test.run();
