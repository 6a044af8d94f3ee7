// A new primary makes the in-sync replicas equal before it serves, whatever of the old one's last writes reached whom.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { StoreClient } from '../api/store-client.ts';
import { OP_TRIM } from '../wire/messages.ts';
import { STATUS_NOT_READY, STATUS_OK } from '../wire/status.ts';
import { VOLUME_ID } from './testing/fake-conductor.ts';
import { RigCommand, StoreRig } from './testing/store-rig.ts';

/** Store 1 has sent its last write to one secondary only, and is dead. */
async function dieHalfWay(rig: StoreRig, unreached: 'b' | 'c', command: RigCommand): Promise<void> {
  rig.sim.network.partition([rig.sim.machine('a')], [rig.sim.machine(unreached)]);
  await rig.begin(0, command);
  await rig.sim.run(rig.sim.now + 50);
  assert.is(command.isDone, false);
  rig.processes[0]!.kill();
}

async function failOver(rig: StoreRig): Promise<void> {
  await rig.configure(() => {
    rig.conductor.statuses = ['OUT_OF_SYNC', 'IN_SYNC', 'IN_SYNC'];
    rig.conductor.primary = 1;
  }, [2, 3]);
  await rig.untilState(1, 'serving');
}

async function filled(seed: number): Promise<StoreRig> {
  const rig = await StoreRig.configured(seed, ['IN_SYNC', 'IN_SYNC', 'IN_SYNC']);
  for (let extent = 0; extent < 6; extent += 1) assert.is(await rig.write(0, extent * 65536, 65536, 10 + extent), STATUS_OK);
  return rig;
}

test('a write that reached only the new primary is pushed to the other one', async () => {
  const rig = await filled(31);
  await dieHalfWay(rig, 'c', RigCommand.write(rig.client.world, 65536 + 4096, 8192, 99));
  assert.is.not(await rig.digest(1), await rig.digest(2));
  await failOver(rig);
  assert.is(await rig.digest(2), await rig.digest(1));
  assert.equal(await rig.read(1, 65536 + 4096, 8192), { status: STATUS_OK, byte: 99 });
  assert.is(await rig.metric(1, 'promoted_extents_total'), 1);
  await rig.close();
});

test('a write that reached only the other secondary is taken back there', async () => {
  const rig = await filled(32);
  await dieHalfWay(rig, 'b', RigCommand.write(rig.client.world, 65536 + 4096, 8192, 99));
  await failOver(rig);
  assert.is(await rig.digest(2), await rig.digest(1));
  assert.equal(await rig.read(1, 65536 + 4096, 8192), { status: STATUS_OK, byte: 11 });
  await rig.close();
});

test('so is a write to space that was free before', async () => {
  const rig = await filled(33);
  await dieHalfWay(rig, 'b', RigCommand.write(rig.client.world, 10 * 65536, 4096, 99));
  await failOver(rig);
  assert.is(await rig.digest(2), await rig.digest(1));
  assert.equal(await rig.read(1, 10 * 65536, 4096), { status: STATUS_OK, byte: 0 });
  await rig.close();
});

for (const unreached of ['b', 'c'] as const) {
  test(`a trim of whole extents that did not reach ${unreached} is equalised too`, async () => {
    const rig = await filled(34);
    await dieHalfWay(rig, unreached, new RigCommand(rig.client.world, OP_TRIM, 65536, 2 * 65536));
    await failOver(rig);
    assert.is(await rig.digest(2), await rig.digest(1));
    assert.equal(await rig.read(1, 65536, 4096), { status: STATUS_OK, byte: unreached === 'b' ? 11 : 0 });
    await rig.close();
  });
}

test("a write that is stuck in the new primary's own disk is waited for", async () => {
  const rig = await filled(35);
  const disk = rig.sim.machine('b').disk('/dev/nvme0');
  rig.sim.network.partition([rig.sim.machine('a')], [rig.sim.machine('c')]);
  disk.setStuck(true);
  await rig.begin(0, RigCommand.write(rig.client.world, 65536, 4096, 99));
  await rig.sim.run(rig.sim.now + 50);
  rig.processes[0]!.kill();
  rig.conductor.change(() => {
    rig.conductor.statuses = ['OUT_OF_SYNC', 'IN_SYNC', 'IN_SYNC'];
    rig.conductor.primary = 1;
  });
  await rig.conductorProcess.perform(() => Promise.all([rig.conductor.push(2), rig.conductor.push(3)]));
  await rig.sim.run(rig.sim.now + 500);
  assert.is(await rig.state(1), 'closing');
  disk.setStuck(false);
  await rig.untilState(1, 'serving');
  await rig.conductorProcess.perform(() => rig.conductor.pushAll([2, 3]));
  assert.is(await rig.digest(2), await rig.digest(1));
  await rig.close();
});

test('requests during a promotion are answered NOT_READY', async () => {
  const rig = await filled(36);
  rig.processes[0]!.kill();
  rig.conductor.change(() => {
    rig.conductor.statuses = ['OUT_OF_SYNC', 'IN_SYNC', 'IN_SYNC'];
    rig.conductor.primary = 1;
  });
  await rig.conductorProcess.perform(() => rig.conductor.push(2));
  await rig.sim.run(rig.sim.now + 5);
  const { status } = await rig.read(1, 0, 4096);
  assert.is(status, STATUS_NOT_READY);
  await rig.close();
});

test('a secondary that does not answer the comparison is reported, and the shard is served without it', async () => {
  const rig = await filled(37);
  rig.processes[0]!.kill();
  rig.processes[2]!.kill();
  const startedAt = rig.sim.now;
  await rig.configure(() => {
    rig.conductor.statuses = ['OUT_OF_SYNC', 'IN_SYNC', 'IN_SYNC'];
    rig.conductor.primary = 1;
  }, [2]);
  await rig.untilState(1, 'serving');
  assert.ok(rig.sim.now - startedAt < 2500, `took ${rig.sim.now - startedAt} ms`);
  assert.equal(rig.conductor.statuses, ['OUT_OF_SYNC', 'IN_SYNC', 'OUT_OF_SYNC']);
  assert.equal(await rig.read(1, 0, 4096), { status: STATUS_OK, byte: 10 });
  await rig.close();
});

test('between running stores only what may differ is compared; after a restart everything is', async () => {
  const rig = await filled(38);
  await failOver(rig);
  const compared = rig.sim.log
    .tail(2000)
    .split('\n')
    .filter((line) => line.includes('shard is served from here') && line.includes(' b/store'));
  assert.ok(
    compared.some((line) => /comparedAbove=?"?:? ?[1-9]/.test(line)),
    compared.join('\n'),
  );
  await rig.close();
});

test('after a power cut of all stores the first primary makes everything equal again', async () => {
  const rig = await filled(39);
  const commands: RigCommand[] = [];
  for (let index = 0; index < 20; index += 1)
    commands.push(await rig.begin(0, RigCommand.write(rig.client.world, index * 32768, 4096, 100 + index)));
  for (const name of ['c', 'a', 'b']) rig.sim.machine(name).powerOff();
  for (const name of ['a', 'b', 'c']) rig.sim.machine(name).powerOn();
  for (let index = 0; index < 3; index += 1) await rig.start(index);
  await rig.configure(() => undefined);
  await rig.untilState(0, 'serving');
  assert.is(await rig.digest(1), await rig.digest(0));
  assert.is(await rig.digest(2), await rig.digest(0));
  for (const command of commands.filter((each) => each.isDone && each.status === STATUS_OK)) {
    assert.equal(await rig.read(0, command.offset, 4096), { status: STATUS_OK, byte: 100 + command.offset / 32768 });
  }
  await rig.close();
});

test('the first sequence after a restart is above all that the replicas hold', async () => {
  const rig = await filled(40);
  for (const process of rig.processes) process.kill();
  for (let index = 0; index < 3; index += 1) await rig.start(index);
  await rig.configure(() => undefined);
  await rig.untilState(0, 'serving');
  assert.is(await rig.write(0, 20 * 65536, 4096, 1), STATUS_OK);
  const address = `${rig.sim.machine('b').address}:49181`;
  const list = await rig.conductorProcess.perform((world) =>
    new StoreClient(world, address).listExtents({ volume_id: VOLUME_ID, shard_index: 0, from_object: 0, above: 0 }),
  );
  assert.equal(
    list.extents.map((each) => each.sequence),
    [1, 2, 3, 4, 5, 6, 7],
  );
  await rig.close();
});

test('what another primary took back meanwhile is sent again by the one that returns', async () => {
  const rig = await filled(45);
  const [a, c, conductor] = ['a', 'c', 'conductor'].map((name) => rig.sim.machine(name));
  rig.sim.network.partition([a!], [c!, conductor!]);
  const command = await rig.begin(0, RigCommand.write(rig.client.world, 65536, 4096, 99));
  await rig.sim.run(rig.sim.now + 50);
  assert.is.not(await rig.digest(1), await rig.digest(2), 'b has it, c has not');
  rig.conductor.change(() => (rig.conductor.primary = 2));
  await rig.conductorProcess.perform(() => rig.conductor.pushAll([2, 3]));
  await rig.sim.run(rig.sim.now + 100);
  assert.is(await rig.digest(1), await rig.digest(2), 'c has taken it back from b');
  assert.is(command.isDone, false);
  rig.sim.network.healAll();
  await rig.configure(() => (rig.conductor.primary = 0));
  assert.is(await rig.sim.settle(command.done), STATUS_OK);
  assert.is(await rig.digest(1), await rig.digest(0));
  assert.is(await rig.digest(2), await rig.digest(0));
  await rig.close();
});

test.run();
