// Old primaries: no stale read, no late write, whatever the network does.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { OP_READ } from '../wire/messages.ts';
import { STATUS_NOT_PRIMARY_REOPEN, STATUS_NOT_READY, STATUS_OK } from '../wire/status.ts';
import { RigCommand, StoreRig } from './testing/store-rig.ts';

/** Store 1 is cut off from everybody but the client; store 2 becomes primary. */
async function cutOff(rig: StoreRig): Promise<void> {
  const [a, b, c, conductor] = ['a', 'b', 'c', 'conductor'].map((name) => rig.sim.machine(name));
  rig.sim.network.partition([a!], [b!, c!, conductor!]);
  rig.conductor.change(() => {
    rig.conductor.statuses = ['OUT_OF_SYNC', 'IN_SYNC', 'IN_SYNC'];
    rig.conductor.primary = 1;
  });
}

test('a primary that is cut off stops reading before the new one may write', async () => {
  const rig = await StoreRig.configured(21, ['IN_SYNC', 'IN_SYNC', 'IN_SYNC']);
  assert.is(await rig.write(0, 0, 4096, 1), STATUS_OK);
  assert.equal(await rig.read(0, 0, 4096), { status: STATUS_OK, byte: 1 });
  const oldVersion = rig.conductor.metaVersion;
  const cutAt = rig.sim.now;
  await cutOff(rig);
  rig.sim.schedule(0, () => void rig.conductor.pushAll([2, 3]));
  let lastOldReadAt = 0;
  let newWriteAt = 0;
  for (let step = 0; step < 400 && (newWriteAt === 0 || rig.sim.now < newWriteAt + 300); step += 1) {
    const startedAt = rig.sim.now;
    const old = new RigCommand(rig.client.world, OP_READ, 0, 4096);
    old.metaVersion = oldVersion;
    if ((await rig.run(0, old)) === STATUS_OK) {
      lastOldReadAt = startedAt;
      assert.is(old.onlyByte(), 1);
      assert.is(newWriteAt, 0, 'the old primary has read after the new one has written');
    }
    if (newWriteAt === 0 && (await rig.state(1)) === 'serving') {
      assert.is(await rig.write(1, 0, 4096, 2), STATUS_OK);
      newWriteAt = rig.sim.now;
    }
    await rig.sim.run(rig.sim.now + 10);
  }
  assert.ok(lastOldReadAt > cutAt + 500, `the old primary read until ${lastOldReadAt - cutAt} ms after the cut`);
  assert.ok(newWriteAt > cutAt, 'the new primary has written');
  assert.equal(await rig.read(1, 0, 4096), { status: STATUS_OK, byte: 2 });
});

test('a read without promises is refused within about a second, not answered', async () => {
  const rig = await StoreRig.configured(22, ['IN_SYNC', 'IN_SYNC', 'IN_SYNC']);
  rig.sim.network.partition([rig.sim.machine('a')], [rig.sim.machine('c')]);
  await rig.sim.run(rig.sim.now + 3000);
  const { status } = await rig.read(0, 0, 4096);
  assert.is(status, STATUS_NOT_READY);
});

test('an idle primary sends no heartbeats, and its first read waits one round trip', async () => {
  const rig = await StoreRig.configured(23, ['IN_SYNC', 'IN_SYNC']);
  await rig.sim.run(rig.sim.now + 5000);
  const before = await rig.metric(1, 'grants_given_total');
  await rig.sim.run(rig.sim.now + 5000);
  assert.is(await rig.metric(1, 'grants_given_total'), before);
  const startedAt = rig.sim.now;
  assert.is((await rig.read(0, 0, 4096)).status, STATUS_OK);
  assert.ok(rig.sim.now - startedAt < 30, `took ${rig.sim.now - startedAt} ms`);
  await rig.close();
});

test('secondaries refuse a write of the old primary from the moment they hear of a new one', async () => {
  const rig = await StoreRig.configured(24, ['IN_SYNC', 'IN_SYNC', 'IN_SYNC']);
  assert.is((await rig.read(0, 0, 4096)).status, STATUS_OK);
  const oldVersion = rig.conductor.metaVersion;
  rig.conductor.change(() => (rig.conductor.primary = 1));
  await rig.conductorProcess.perform(() => rig.conductor.push(2));
  assert.is(await rig.state(1), 'closing');
  const command = RigCommand.write(rig.client.world, 0, 4096, 9);
  command.metaVersion = oldVersion;
  await rig.begin(0, command);
  await rig.sim.run(rig.sim.now + 100);
  assert.is(command.isDone, false);
  await rig.conductorProcess.perform(() => rig.conductor.pushAll([1, 2, 3]));
  assert.is(await rig.sim.settle(command.done), STATUS_NOT_READY);
  await rig.untilState(1, 'serving');
  assert.is((await rig.read(0, 0, 4096)).status, STATUS_NOT_PRIMARY_REOPEN);
  const digests = [await rig.digest(0), await rig.digest(1), await rig.digest(2)];
  assert.is(digests[1], digests[0]);
  assert.is(digests[2], digests[0]);
  await rig.close();
});

test('a primary whose secondary knows more stops after a second, so that the client looks elsewhere', async () => {
  const rig = await StoreRig.configured(25, ['IN_SYNC', 'IN_SYNC']);
  const oldVersion = rig.conductor.metaVersion;
  rig.conductor.change(() => (rig.conductor.primary = 1));
  await rig.conductorProcess.perform(() => rig.conductor.push(2));
  const command = RigCommand.write(rig.client.world, 0, 4096, 9);
  command.metaVersion = oldVersion;
  const startedAt = rig.sim.now;
  assert.is(await rig.run(0, command), STATUS_NOT_READY);
  assert.ok(rig.sim.now - startedAt < 1400, `took ${rig.sim.now - startedAt} ms`);
  assert.is(await rig.state(0), 'stopped');
  assert.equal(rig.conductor.errors, [], 'it reported nobody');
  await rig.conductorProcess.perform(() => rig.conductor.pushAll([1, 2]));
  await rig.untilState(1, 'serving');
  assert.is(await rig.digest(1), await rig.digest(0));
  await rig.close();
});

test('a store that restarts is primary of several replicas a second after its start, not before', async () => {
  const rig = await StoreRig.configured(26, ['IN_SYNC', 'IN_SYNC']);
  rig.processes[0]!.kill();
  rig.processes[1]!.kill();
  const startedAt = rig.sim.now;
  await rig.start(0);
  await rig.start(1);
  rig.conductor.change(() => undefined);
  await rig.conductorProcess.perform(() => rig.conductor.push(1));
  assert.is(await rig.state(0), 'closing');
  await rig.conductorProcess.perform(() => rig.conductor.pushAll([1, 2]));
  await rig.untilState(0, 'serving');
  assert.ok(rig.sim.now - startedAt >= 1000, `served ${rig.sim.now - startedAt} ms after the start`);
  await rig.close();
});

test.run();
