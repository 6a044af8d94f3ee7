// What a store says when it has nothing to say, and how little it does then.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { STATUS_OK } from '../wire/status.ts';
import { StoreRig } from './testing/store-rig.ts';

test('a store with nothing new to tell sends the short heartbeat, and the full one when something has changed', async () => {
  const rig = await StoreRig.configured(401, ['IN_SYNC']);
  const { conductor, sim } = rig;
  await sim.run(sim.now + 1300);
  const full = conductor.fullHeartbeats.length;
  const short = conductor.shortHeartbeats.length;
  await sim.run(sim.now + 6000);
  assert.is(conductor.fullHeartbeats.length, full);
  assert.is(conductor.shortHeartbeats.length, short + 10);
  const free = conductor.stores.get(1)!.disks[0]!.free;
  assert.is(await rig.write(0, 0, 65536, 1), STATUS_OK);
  await sim.run(sim.now + 700);
  assert.is(conductor.fullHeartbeats.length, full + 1, 'its free space has changed');
  assert.ok(conductor.stores.get(1)!.disks[0]!.free < free);
  await rig.close();
});

test('a conductor that does not know the store any more gets the full heartbeat at once', async () => {
  const rig = await StoreRig.configured(402, ['IN_SYNC']);
  const { conductor, sim } = rig;
  await sim.run(sim.now + 1300);
  const full = conductor.fullHeartbeats.length;
  conductor.isForgetful = true;
  await sim.run(sim.now + 700);
  assert.ok(conductor.fullHeartbeats.length > full);
  await rig.close();
});

test('an older conductor, which knows no short heartbeat, hears the full one every time', async () => {
  const rig = await StoreRig.configured(404, ['IN_SYNC']);
  const { conductor, sim } = rig;
  conductor.isOld = true;
  const full = conductor.fullHeartbeats.length;
  await sim.run(sim.now + 6000);
  assert.ok(conductor.fullHeartbeats.length >= full + 9, `${conductor.fullHeartbeats.length - full} in ten periods`);
  await rig.close();
});

test('a replicated store at rest does nothing but its heartbeats', async () => {
  const rig = await StoreRig.configured(403, ['IN_SYNC', 'IN_SYNC', 'IN_SYNC']);
  const { sim } = rig;
  assert.is(await rig.write(0, 0, 4096, 1), STATUS_OK);
  assert.equal(await rig.read(0, 0, 4096), { status: STATUS_OK, byte: 1 });
  await sim.run(sim.now + 10_000);
  const before = sim.eventCount;
  const beats = rig.conductor.shortHeartbeats.length;
  await sim.run(sim.now + 10_000);
  const perBeat = (sim.eventCount - before) / (rig.conductor.shortHeartbeats.length - beats);
  assert.ok(perBeat < EVENTS_OF_A_BEAT, `${perBeat.toFixed(1)} events for each heartbeat`);
  await rig.close();
});

/** Its timer, the call there and back, the call's deadline, and the listeners' sweeps between two of them: no tick of 100 ms. */
const EVENTS_OF_A_BEAT = 8;

test.run();
