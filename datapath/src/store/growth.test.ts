// A volume that grows under stores that hold it: who serves what, when, and that what is new holds zeros.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { KiB, MiB } from '../base/sizes.ts';
import { STATUS_NOT_OPEN, STATUS_OK, STATUS_OUT_OF_RANGE, STATUS_STALE } from '../wire/status.ts';
import { RigCommand, StoreRig } from './testing/store-rig.ts';

const OLD_END = 64 * MiB + 20 * KiB;
const ZERO = { status: STATUS_OK, byte: 0 };

/** One shard of 128 MiB that is filled up to somewhere in its second object. */
async function smallVolume(seed: number, storeCount = 2): Promise<StoreRig> {
  const rig = await StoreRig.open(seed, { stores: storeCount });
  rig.conductor.volumeBytes = OLD_END;
  await rig.configure(() => (rig.conductor.statuses = Array.from({ length: storeCount }, () => 'IN_SYNC')));
  await rig.untilState(0, 'serving');
  return rig;
}

test('beyond the end nothing can be done; after the growth it reads as zeros, and can be written', async () => {
  const rig = await smallVolume(61);
  assert.is(await rig.write(0, OLD_END - 4 * KiB, 4 * KiB, 1), STATUS_OK);
  assert.is(await rig.write(0, OLD_END, 4 * KiB, 2), STATUS_OUT_OF_RANGE);
  assert.is(await rig.write(0, OLD_END - 4 * KiB, 8 * KiB, 2), STATUS_OUT_OF_RANGE);
  assert.is(await rig.trim(0, OLD_END - 4 * KiB, 8 * KiB), STATUS_OUT_OF_RANGE);
  await rig.configure(() => (rig.conductor.volumeBytes = 128 * MiB));
  assert.equal(await rig.read(0, OLD_END - 4 * KiB, 4 * KiB), { status: STATUS_OK, byte: 1 });
  assert.equal(await rig.read(0, OLD_END, 44 * KiB), ZERO, 'the rest of the extent that the old end cut');
  assert.equal(await rig.read(0, 127 * MiB, MiB), ZERO);
  assert.is(await rig.write(0, OLD_END, 8 * KiB, 3), STATUS_OK);
  assert.is(await rig.write(0, 128 * MiB - 4 * KiB, 4 * KiB, 4), STATUS_OK);
  assert.is(await rig.digest(0, 1), await rig.digest(1, 1));
  assert.equal(rig.conductor.errors, []);
  await rig.close();
});

test('what was trimmed up to the old end holds zeros after the growth too', async () => {
  const rig = await smallVolume(62);
  assert.is(await rig.write(0, 64 * MiB, 20 * KiB, 7), STATUS_OK);
  assert.is(await rig.trim(0, 64 * MiB + 4 * KiB, 16 * KiB), STATUS_OK);
  await rig.configure(() => (rig.conductor.volumeBytes = OLD_END + 64 * KiB));
  assert.equal(await rig.read(0, 64 * MiB, 4 * KiB), { status: STATUS_OK, byte: 7 });
  assert.equal(await rig.read(0, 64 * MiB + 4 * KiB, 80 * KiB), ZERO);
  assert.is(await rig.trim(0, 64 * MiB, 84 * KiB), STATUS_OK);
  await rig.configure(() => (rig.conductor.volumeBytes = 128 * MiB));
  assert.equal(await rig.read(0, 64 * MiB, MiB), ZERO);
  await rig.close();
});

test('a write to the new space waits for a secondary that has not heard of the growth, and is on both then', async () => {
  const rig = await smallVolume(63);
  await rig.configure(() => (rig.conductor.volumeBytes = 128 * MiB), [1]);
  const write = await rig.begin(0, RigCommand.write(rig.client.world, 100 * MiB, 4 * KiB, 5));
  await rig.sim.run(rig.sim.now + 200);
  assert.is(write.isDone, false);
  await rig.conductorProcess.perform(() => rig.conductor.pushAll([2]));
  assert.is(await rig.sim.settle(write.done), STATUS_OK);
  assert.is(await rig.digest(0, 1), await rig.digest(1, 1));
  assert.equal(rig.conductor.errors, [], 'nobody was reported for it');
  await rig.close();
});

test('a primary that has not heard of the growth sends a client away that has', async () => {
  const rig = await smallVolume(64);
  rig.conductor.change(() => (rig.conductor.volumeBytes = 128 * MiB));
  assert.is(await rig.write(0, 0, 4 * KiB, 5), STATUS_STALE);
  assert.is(await rig.write(0, 100 * MiB, 4 * KiB, 5), STATUS_STALE, 'the new space is not an error: the store is behind');
  assert.is(await rig.write(0, 200 * MiB, 4 * KiB, 5), STATUS_NOT_OPEN, 'nor is a shard that it has not heard of');
  await rig.conductorProcess.perform(() => rig.conductor.pushAll([1, 2]));
  assert.is(await rig.write(0, 100 * MiB, 4 * KiB, 5), STATUS_OK);
  await rig.close();
});

test('a store that is told of the smaller size late keeps the larger one', async () => {
  const rig = await smallVolume(65);
  await rig.configure(() => (rig.conductor.volumeBytes = 128 * MiB));
  assert.is(await rig.write(0, 100 * MiB, 4 * KiB, 5), STATUS_OK);
  rig.conductor.volumeBytes = OLD_END;
  await rig.conductorProcess.perform(() => rig.conductor.push(1));
  assert.equal(await rig.read(0, 100 * MiB, 4 * KiB), { status: STATUS_OK, byte: 5 });
  await rig.close();
});

test('a replica that was away during the growth recovers the new space', async () => {
  const rig = await smallVolume(66);
  rig.processes[1]!.kill();
  await rig.configure(() => {
    rig.conductor.volumeBytes = 128 * MiB;
    rig.conductor.statuses = ['IN_SYNC', 'OUT_OF_SYNC'];
  }, [1]);
  assert.is(await rig.write(0, 120 * MiB, 64 * KiB, 9), STATUS_OK);
  await rig.start(1);
  await rig.configure(() => (rig.conductor.statuses = ['IN_SYNC', 'RECOVERING']));
  await rig.sim.run(() => rig.conductor.recovered.length > 0, { withinMs: 20_000 });
  assert.is(await rig.digest(1, 1), await rig.digest(0, 1));
  await rig.close();
});

test('further shards open beside the ones that are served', async () => {
  const rig = await smallVolume(67);
  assert.is(await rig.write(0, 0, 4 * KiB, 1), STATUS_OK);
  await rig.configure(() => (rig.conductor.volumeBytes = 300 * MiB));
  await rig.sim.run(rig.sim.now + 1500);
  assert.equal([await rig.state(0, 0), await rig.state(0, 1), await rig.state(0, 2)], ['serving', 'serving', 'serving']);
  assert.is(await rig.write(0, 299 * MiB, 4 * KiB, 6), STATUS_OK);
  assert.equal(await rig.read(0, 299 * MiB, 4 * KiB), { status: STATUS_OK, byte: 6 });
  assert.equal(await rig.read(0, 0, 4 * KiB), { status: STATUS_OK, byte: 1 });
  await rig.close();
});

test.run();
