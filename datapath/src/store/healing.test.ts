// Stored bytes that rot: read from another replica, and repaired in place.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { STATUS_CORRUPT, STATUS_OK } from '../wire/status.ts';
import { StoreRig } from './testing/store-rig.ts';

test('a damaged block is read from a secondary and repaired', async () => {
  const rig = await StoreRig.configured(61, ['IN_SYNC', 'IN_SYNC', 'IN_SYNC']);
  assert.is(await rig.write(0, 0, 65536, 3), STATUS_OK);
  assert.is(await rig.write(0, 8192, 8192, 44), STATUS_OK);
  assert.ok((await rig.rotBlocksOf('a', 44)) >= 2);
  assert.equal(await rig.read(0, 8192, 8192), { status: STATUS_OK, byte: 44 });
  assert.is(await rig.metric(0, 'healed_blocks_total'), 2);
  assert.is(await rig.metric(0, 'corrupt_reads_total'), 1);
  assert.equal(await rig.read(0, 8192, 8192), { status: STATUS_OK, byte: 44 });
  assert.is(await rig.metric(0, 'corrupt_reads_total'), 1, 'the second read met no damage');
  assert.is(await rig.digest(0), await rig.digest(1));
  await rig.close();
});

test('a write of part of a damaged block repairs it first', async () => {
  const rig = await StoreRig.configured(62, ['IN_SYNC', 'IN_SYNC']);
  assert.is(await rig.write(0, 8192, 4096, 44), STATUS_OK);
  assert.ok((await rig.rotBlocksOf('a', 44)) >= 1);
  assert.is(await rig.write(0, 8192, 512, 45), STATUS_OK);
  assert.equal(await rig.read(0, 8192, 512), { status: STATUS_OK, byte: 45 });
  assert.equal(await rig.read(0, 8704, 3584), { status: STATUS_OK, byte: 44 });
  assert.is(await rig.digest(0), await rig.digest(1));
  await rig.close();
});

test('without another replica the read says that the data is damaged, and the rest is served', async () => {
  const rig = await StoreRig.configured(63, ['IN_SYNC']);
  assert.is(await rig.write(0, 8192, 4096, 44), STATUS_OK);
  assert.is(await rig.write(0, 65536, 4096, 45), STATUS_OK);
  assert.ok((await rig.rotBlocksOf('a', 44)) >= 1);
  assert.is((await rig.read(0, 8192, 4096)).status, STATUS_CORRUPT);
  assert.equal(await rig.read(0, 65536, 4096), { status: STATUS_OK, byte: 45 });
  assert.is(await rig.write(0, 8192, 4096, 46), STATUS_OK, 'a whole new block is fine');
  assert.equal(await rig.read(0, 8192, 4096), { status: STATUS_OK, byte: 46 });
  await rig.close();
});

test('a secondary with a damaged block is reported when a write needs the block', async () => {
  const rig = await StoreRig.configured(64, ['IN_SYNC', 'IN_SYNC']);
  assert.is(await rig.write(0, 8192, 4096, 44), STATUS_OK);
  assert.ok((await rig.rotBlocksOf('b', 44)) >= 1);
  assert.is(await rig.write(0, 8192, 512, 45), STATUS_OK);
  assert.equal(rig.conductor.statuses, ['IN_SYNC', 'OUT_OF_SYNC']);
  await rig.configure(() => (rig.conductor.statuses[1] = 'RECOVERING'));
  await rig.sim.run(() => rig.conductor.statuses[1] === 'IN_SYNC');
  assert.is(await rig.digest(0), await rig.digest(1));
  await rig.close();
});

test('a primary whose disk dies hands over', async () => {
  const rig = await StoreRig.configured(65, ['IN_SYNC', 'IN_SYNC']);
  assert.is(await rig.write(0, 0, 4096, 1), STATUS_OK);
  rig.sim.machine('a').disk('/dev/nvme0').isBroken = true;
  assert.is.not(await rig.write(0, 0, 4096, 2), STATUS_OK);
  await rig.sim.run(() => rig.conductor.errors.length > 0);
  assert.is(rig.conductor.errors[0]!.rep_id % 16, 0);
  await rig.configure(() => (rig.conductor.primary = 1), [2]);
  await rig.untilState(1, 'serving');
  const { status, byte } = await rig.read(1, 0, 4096);
  assert.is(status, STATUS_OK);
  assert.ok(byte === 1 || byte === 2);
});

test.run();
