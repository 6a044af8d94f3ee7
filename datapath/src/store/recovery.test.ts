// A replica that was away becomes equal while the shard is written, and only then counts as in sync.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { STATUS_CORRUPT, STATUS_NOT_READY, STATUS_OK } from '../wire/status.ts';
import { OP_READ, OP_TRIM } from '../wire/messages.ts';
import { RigCommand, StoreRig } from './testing/store-rig.ts';

const SIZE = 4 * 1024 * 1024;

async function recover(rig: StoreRig, replica: number): Promise<void> {
  await rig.configure(() => (rig.conductor.statuses[replica] = 'RECOVERING'));
}

function randomRequest(rig: StoreRig, random: { below(n: number): number }, index: number): RigCommand {
  const offset = random.below(SIZE / 4096 - 40) * 4096 + random.below(8) * 512;
  if (random.below(5) === 0) return new RigCommand(rig.client.world, OP_TRIM, offset, 4096 * (1 + random.below(40)));
  return RigCommand.write(rig.client.world, offset, 512 * (1 + random.below(64)), 1 + (index % 255));
}

test('a replica that missed writes and trims recovers while writes go on', async () => {
  const rig = await StoreRig.configured(41, ['IN_SYNC', 'IN_SYNC', 'IN_SYNC']);
  const random = rig.sim.random.fork('test');
  const burst = async (count: number): Promise<void> => {
    const commands: RigCommand[] = [];
    for (let index = 0; index < count; index += 1) commands.push(await rig.begin(0, randomRequest(rig, random, index)));
    await rig.sim.run(() => commands.every((command) => command.isDone));
    assert.equal(new Set(commands.map((command) => command.status)), new Set([STATUS_OK]));
  };
  await burst(60);
  await rig.configure(() => (rig.conductor.statuses[2] = 'OUT_OF_SYNC'));
  await burst(60);
  assert.is.not(await rig.digest(2), await rig.digest(0));
  rig.sim.network.links.configure(rig.sim.machine('a'), rig.sim.machine('c'), { latencyMs: 2 });
  await recover(rig, 2);
  let requests = 0;
  const during: RigCommand[] = [];
  while (rig.conductor.recovered.length === 0) {
    const command = randomRequest(rig, random, requests);
    command.metaVersion = rig.conductor.metaVersion;
    during.push(await rig.begin(0, command));
    requests += 1;
    await rig.sim.run(rig.sim.now + 0.5);
    assert.ok(requests < 5000, 'the recovery ends');
  }
  await rig.sim.run(() => during.every((command) => command.isDone));
  assert.ok(requests > 20, `${requests} requests during the recovery`);
  await rig.conductorProcess.perform(() => rig.conductor.pushAll([1, 2, 3]));
  assert.equal(rig.conductor.statuses, ['IN_SYNC', 'IN_SYNC', 'IN_SYNC']);
  assert.equal(rig.conductor.recovered, [2]);
  assert.is(await rig.digest(1), await rig.digest(0));
  assert.is(await rig.digest(2), await rig.digest(0));
  await rig.close();
});

test('a write that was under way when the replica returned is not missed', async () => {
  const rig = await StoreRig.configured(42, ['IN_SYNC', 'IN_SYNC', 'OUT_OF_SYNC']);
  rig.sim.network.links.configure(rig.sim.machine('a'), rig.sim.machine('b'), { latencyMs: 40 });
  const disk = rig.sim.machine('a').disk('/dev/nvme0');
  disk.slowFactor = 300;
  const slow = await rig.begin(0, RigCommand.write(rig.client.world, 0, 4096, 5));
  await rig.sim.run(rig.sim.now + 1);
  await recover(rig, 2);
  await rig.sim.run(() => rig.conductor.recovered.length > 0);
  assert.is(await rig.sim.settle(slow.done), STATUS_OK);
  disk.slowFactor = 1;
  assert.is(await rig.digest(2), await rig.digest(0));
  await rig.close();
});

test('an interrupted recovery is started again by the next configuration', async () => {
  const rig = await StoreRig.configured(44, ['IN_SYNC', 'OUT_OF_SYNC']);
  for (let extent = 0; extent < 40; extent += 1) assert.is(await rig.write(0, extent * 65536, 65536, 1 + extent), STATUS_OK);
  rig.sim.network.links.configure(rig.sim.machine('a'), rig.sim.machine('b'), { latencyMs: 5 });
  await recover(rig, 1);
  await rig.sim.run(rig.sim.now + 15);
  rig.processes[1]!.kill();
  await rig.sim.run(() => rig.conductor.errors.length > 0);
  assert.equal(rig.conductor.statuses, ['IN_SYNC', 'OUT_OF_SYNC']);
  await rig.start(1);
  await recover(rig, 1);
  await rig.sim.run(() => rig.conductor.statuses[1] === 'IN_SYNC');
  assert.is(await rig.digest(1), await rig.digest(0));
  await rig.close();
});

test('an extent that cannot be read ends the recovery with a report, whatever was copied beside it', async () => {
  const rig = await StoreRig.configured(45, ['IN_SYNC', 'OUT_OF_SYNC']);
  for (let extent = 0; extent < 20; extent += 1) assert.is(await rig.write(0, extent * 65536, 65536, 1 + extent), STATUS_OK);
  assert.ok((await rig.rotBlocksOf('a', 4)) >= 16);
  await recover(rig, 1);
  await rig.sim.run(() => rig.conductor.errors.length > 0, { withinMs: 10_000 });
  assert.equal([rig.conductor.errors[0]!.rep_id % 16, rig.conductor.errors[0]!.sc], [1, STATUS_CORRUPT]);
  assert.equal(rig.conductor.recovered, []);
  await rig.close();
});

test('a copy that is under way when another store becomes primary ends there', async () => {
  const rig = await StoreRig.configured(46, ['IN_SYNC', 'IN_SYNC', 'OUT_OF_SYNC']);
  assert.is(await rig.write(0, 0, 65536, 1), STATUS_OK);
  const disk = rig.sim.machine('a').disk('/dev/nvme0');
  disk.setStuck(true);
  await recover(rig, 2);
  await rig.sim.run(rig.sim.now + 50);
  assert.equal(rig.conductor.recovered, [], 'the old primary cannot read what it wants to copy');
  await rig.configure(() => {
    rig.conductor.statuses = ['OUT_OF_SYNC', 'IN_SYNC', 'RECOVERING'];
    rig.conductor.primary = 1;
  });
  await rig.sim.run(() => rig.conductor.recovered.length > 0);
  await rig.conductorProcess.perform(() => rig.conductor.pushAll([1, 2, 3]));
  assert.is(await rig.write(1, 0, 65536, 2), STATUS_OK);
  disk.setStuck(false);
  await rig.sim.run(rig.sim.now + 200);
  assert.is(await rig.digest(2), await rig.digest(1));
  await rig.close();
});

test('a replica that was reported as recovered may be primary already: its promise is needed for reads', async () => {
  const rig = await StoreRig.configured(47, ['IN_SYNC', 'OUT_OF_SYNC']);
  assert.is(await rig.write(0, 0, 4096, 1), STATUS_OK);
  const [a, b, conductor] = ['a', 'b', 'conductor'].map((name) => rig.sim.machine(name));
  rig.conductor.onRecovered = () => rig.sim.network.partition([a!], [b!, conductor!]);
  await recover(rig, 1);
  const oldVersion = rig.conductor.metaVersion;
  await rig.sim.run(() => rig.conductor.recovered.length > 0);
  rig.conductor.change(() => {
    rig.conductor.statuses = ['OUT_OF_SYNC', 'IN_SYNC'];
    rig.conductor.primary = 1;
  });
  await rig.conductorProcess.perform(() => rig.conductor.pushAll([2]));
  await rig.untilState(1, 'serving');
  assert.is(await rig.write(1, 0, 4096, 2), STATUS_OK);
  const old = new RigCommand(rig.client.world, OP_READ, 0, 4096);
  old.metaVersion = oldVersion;
  assert.is(await rig.run(0, old), STATUS_NOT_READY);
});

test.run();
