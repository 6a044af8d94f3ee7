// A replica that was away becomes equal while the shard is written, and only then counts as in sync.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { StoreClient } from '../api/store-client.ts';
import { STATUS_OK } from '../wire/status.ts';
import { OP_TRIM } from '../wire/messages.ts';
import { VOLUME_ID } from './testing/fake-conductor.ts';
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

test('while recovering, a plain write leaves the stamp of a stale extent alone', async () => {
  const rig = await StoreRig.configured(43, ['IN_SYNC', 'IN_SYNC']);
  assert.is(await rig.write(0, 0, 4096, 1), STATUS_OK);
  await rig.configure(() => (rig.conductor.statuses[1] = 'OUT_OF_SYNC'));
  assert.is(await rig.write(0, 8192, 4096, 2), STATUS_OK);
  const sequenceAt = async (index: number): Promise<number> => {
    const address = `${rig.sim.machine('ab'[index]!).address}:49181`;
    const list = await rig.conductorProcess.perform((world) =>
      new StoreClient(world, address).listExtents({ volume_id: VOLUME_ID, shard_index: 0, from_object: 0, above: 0 }),
    );
    return list.extents[0]!.sequence;
  };
  const stale = await sequenceAt(1);
  rig.conductor.change(() => (rig.conductor.statuses[1] = 'RECOVERING'));
  await rig.conductorProcess.perform(() => rig.conductor.pushAll([2]));
  const held = await sequenceAt(1);
  assert.is(held, stale);
  const command = RigCommand.write(rig.client.world, 12288, 4096, 3);
  await rig.conductorProcess.perform(() => rig.conductor.pushAll([1]));
  await rig.run(0, command);
  await rig.sim.run(() => rig.conductor.recovered.length > 0);
  assert.is(await sequenceAt(1), await sequenceAt(0));
  assert.is(await rig.digest(1), await rig.digest(0));
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

test.run();
