// Disks that are full: ENOSPC changes nothing else, wherever the space ran out.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { STATUS_NO_SPACE, STATUS_OK } from '../wire/status.ts';
import { StoreRig } from './testing/store-rig.ts';

const EXTENT = 65536;
const MiB = 1024 * 1024;

/** Writes extents one by one until one is refused; how many fitted. */
async function fill(rig: StoreRig): Promise<number> {
  for (let extent = 0; extent < 2000; extent += 1) {
    const status = await rig.write(0, extent * EXTENT, 4096, 1 + (extent % 200));
    if (status === STATUS_NO_SPACE) return extent;
    assert.is(status, STATUS_OK);
  }
  throw new Error('the disk never filled');
}

test('a full primary refuses before anything is sent', async () => {
  const rig = await StoreRig.configured(51, ['IN_SYNC', 'IN_SYNC'], { diskBytes: [16 * MiB, 32 * MiB] });
  const fitted = await fill(rig);
  const sent = await rig.metric(1, 'replica_requests_total{operation="write"}');
  assert.is(await rig.write(0, (fitted + 1) * EXTENT, 4096, 1), STATUS_NO_SPACE);
  assert.is(await rig.metric(1, 'replica_requests_total{operation="write"}'), sent);
  assert.is(await rig.write(0, 0, 4096, 9), STATUS_OK);
  await rig.close();
});

test('a full secondary makes the write fail everywhere, stays in sync, and what fits goes on', async () => {
  const rig = await StoreRig.configured(52, ['IN_SYNC', 'IN_SYNC', 'IN_SYNC'], { diskBytes: [32 * MiB, 16 * MiB, 32 * MiB] });
  const fitted = await fill(rig);
  assert.equal(rig.conductor.errors, []);
  assert.equal(await rig.read(0, fitted * EXTENT, 4096), { status: STATUS_OK, byte: 0 });
  // Across the border: the first extent exists, the second one does not fit.
  assert.is(await rig.write(0, (fitted - 1) * EXTENT, 2 * EXTENT, 77), STATUS_NO_SPACE);
  const digests = [await rig.digest(0), await rig.digest(1), await rig.digest(2)];
  assert.is(digests[1], digests[0]);
  assert.is(digests[2], digests[0]);
  assert.equal(await rig.read(0, fitted * EXTENT, 4096), { status: STATUS_OK, byte: 0 });
  assert.is(await rig.write(0, 4096, 4096, 5), STATUS_OK);
  assert.is(await rig.trim(0, 0, 4 * EXTENT), STATUS_OK);
  assert.is(await rig.write(0, fitted * EXTENT, 4096, 6), STATUS_OK, 'trimmed space is free again');
  assert.equal(rig.conductor.errors, []);
  const after = [await rig.digest(0), await rig.digest(1), await rig.digest(2)];
  assert.is(after[1], after[0]);
  assert.is(after[2], after[0]);
  await rig.close();
});

test.run();
