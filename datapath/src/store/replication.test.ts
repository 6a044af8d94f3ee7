// Reads and writes through one, two and three simulated stores, and secondaries that fail.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { OP_FLUSH, OP_READ } from '../wire/messages.ts';
import {
  STATUS_FENCED,
  STATUS_NOT_OPEN,
  STATUS_NOT_PRIMARY_REOPEN,
  STATUS_OK,
  STATUS_OUT_OF_RANGE,
  STATUS_PERMISSION_DENIED,
  STATUS_STALE,
} from '../wire/status.ts';
import { RigCommand, StoreRig } from './testing/store-rig.ts';

const MiB = 1024 * 1024;

test('a single replica writes, reads back, and reads zeros where nothing was written or all was trimmed', async () => {
  const rig = await StoreRig.configured(1, ['IN_SYNC']);
  assert.is(await rig.write(0, 8192, 4096, 7), STATUS_OK);
  assert.equal(await rig.read(0, 8192, 4096), { status: STATUS_OK, byte: 7 });
  assert.equal(await rig.read(0, 65536, MiB), { status: STATUS_OK, byte: 0 });
  assert.is(await rig.trim(0, 8192, 4096), STATUS_OK);
  assert.equal(await rig.read(0, 8192, 4096), { status: STATUS_OK, byte: 0 });
  await rig.close();
});

test('a write of three replicas is on all of them when it is acknowledged', async () => {
  const rig = await StoreRig.configured(2, ['IN_SYNC', 'IN_SYNC', 'IN_SYNC']);
  assert.is(await rig.write(0, 0, 128 * 1024, 3), STATUS_OK);
  assert.is(await rig.write(0, 4096, 512, 4), STATUS_OK);
  assert.is(await rig.trim(0, 65536, 8192), STATUS_OK);
  const digests = [await rig.digest(0), await rig.digest(1), await rig.digest(2)];
  assert.is(digests[1], digests[0]);
  assert.is(digests[2], digests[0]);
  assert.equal(await rig.read(0, 4096, 512), { status: STATUS_OK, byte: 4 });
  await rig.close();
});

test('acknowledged means durable on the secondary too: the power of both fails at that moment', async () => {
  const rig = await StoreRig.configured(3, ['IN_SYNC', 'IN_SYNC']);
  const [a, b] = [rig.sim.machine('a'), rig.sim.machine('b')];
  rig.sim.network.links.configure(a, b, { latencyMs: 30 });
  const command = await rig.begin(0, RigCommand.write(rig.client.world, 4096, 8192, 9));
  await rig.sim.run(() => command.isDone);
  assert.is(command.status, STATUS_OK);
  a.powerOff();
  b.powerOff();
  b.powerOn();
  rig.sim.network.links.configure(a, b, null);
  await rig.start(1);
  await rig.configure(() => {
    rig.conductor.statuses = ['OUT_OF_SYNC', 'IN_SYNC'];
    rig.conductor.primary = 1;
  }, [2]);
  await rig.untilState(1, 'serving');
  assert.equal(await rig.read(1, 4096, 8192), { status: STATUS_OK, byte: 9 });
});

test('requests with another meta version, epoch or token, or out of range, are refused', async () => {
  const rig = await StoreRig.open(4, { stores: 2 });
  rig.conductor.volumeBytes = 256 * MiB;
  await rig.configure(() => (rig.conductor.statuses = ['IN_SYNC', 'IN_SYNC']));
  await rig.untilState(0, 'serving');
  const attempt = async (edit: (command: RigCommand) => void, index = 0): Promise<RigCommand> => {
    const command = RigCommand.write(rig.client.world, 0, 4096, 1);
    edit(command);
    await rig.run(index, command);
    return command;
  };
  const stale = await attempt((command) => (command.metaVersion = 77));
  assert.is(stale.status, STATUS_STALE);
  assert.is(stale.replyMetaVersion, rig.conductor.metaVersion);
  await rig.configure(() => (rig.conductor.attachEpoch = 5));
  assert.is((await attempt((command) => (command.attachEpoch = 4))).status, STATUS_FENCED);
  assert.is((await attempt((command) => (command.attachEpoch = 6))).status, STATUS_STALE);
  assert.is((await attempt((command) => (command.token = 1))).status, STATUS_PERMISSION_DENIED);
  assert.is((await attempt((command) => (command.offset = 256 * MiB))).status, STATUS_NOT_OPEN, 'perhaps it has grown');
  assert.is(
    (await attempt((command) => (command.offset = 128 * MiB - 512))).status,
    STATUS_OUT_OF_RANGE,
    'it crosses into the next shard',
  );
  assert.is((await attempt(() => undefined, 1)).status, STATUS_NOT_PRIMARY_REOPEN);
  assert.is(await rig.run(0, new RigCommand(rig.client.world, OP_FLUSH, 0, 0)), STATUS_OK);
  assert.equal(await rig.read(0, 0, 4096), { status: STATUS_OK, byte: 0 }, 'nothing of all that was written');
  await rig.close();
});

test('overlapping writes reach all replicas in one order', async () => {
  const rig = await StoreRig.configured(5, ['IN_SYNC', 'IN_SYNC', 'IN_SYNC']);
  rig.sim.network.links.default = { latencyMs: 0.05, jitterMs: 0.5, spikeChance: 0.05, spikeMs: 3, bytesPerMs: 0 };
  const random = rig.sim.random.fork('test');
  const commands: RigCommand[] = [];
  for (let index = 0; index < 300; index += 1) {
    const offset = random.below(24) * 2048;
    const length = 512 * (1 + random.below(16));
    const command =
      random.below(6) === 0
        ? new RigCommand(rig.client.world, 36, offset, length)
        : RigCommand.write(rig.client.world, offset, length, 1 + (index % 255));
    commands.push(await rig.begin(0, command));
  }
  await rig.sim.run(() => commands.every((command) => command.isDone));
  assert.equal(new Set(commands.map((command) => command.status)), new Set([STATUS_OK]));
  const digests = [await rig.digest(0), await rig.digest(1), await rig.digest(2)];
  assert.is(digests[1], digests[0]);
  assert.is(digests[2], digests[0]);
  await rig.close();
});

test('a secondary that dies is reported, and the write completes with those that are left', async () => {
  const rig = await StoreRig.configured(6, ['IN_SYNC', 'IN_SYNC', 'IN_SYNC']);
  assert.is(await rig.write(0, 0, 4096, 1), STATUS_OK);
  rig.processes[1]!.kill();
  const startedAt = rig.sim.now;
  assert.is(await rig.write(0, 0, 4096, 2), STATUS_OK);
  assert.ok(rig.sim.now - startedAt < 1200, `took ${rig.sim.now - startedAt} ms`);
  assert.equal(rig.conductor.statuses, ['IN_SYNC', 'OUT_OF_SYNC', 'IN_SYNC']);
  await rig.configure(() => undefined, [1, 3]);
  assert.is(await rig.write(0, 4096, 4096, 3), STATUS_OK);
  assert.equal(await rig.read(0, 0, 4096), { status: STATUS_OK, byte: 2 });
  assert.is(await rig.digest(2), await rig.digest(0));
  await rig.close();
});

test('a secondary that hangs is taken out after a second', async () => {
  const rig = await StoreRig.configured(7, ['IN_SYNC', 'IN_SYNC']);
  rig.sim.machine('b').disk('/dev/nvme0').setStuck(true);
  const startedAt = rig.sim.now;
  assert.is(await rig.write(0, 0, 4096, 2), STATUS_OK);
  const tookMs = rig.sim.now - startedAt;
  assert.ok(tookMs >= 1000 && tookMs < 1400, `took ${tookMs} ms`);
  assert.equal(rig.conductor.statuses, ['IN_SYNC', 'OUT_OF_SYNC']);
  assert.equal(await rig.read(0, 0, 4096), { status: STATUS_OK, byte: 2 });
  rig.sim.machine('b').disk('/dev/nvme0').setStuck(false);
  await rig.close();
});

test('while no conductor takes the report the write waits, and completes when one does', async () => {
  const rig = await StoreRig.configured(8, ['IN_SYNC', 'IN_SYNC']);
  rig.conductor.isDeaf = true;
  rig.processes[1]!.kill();
  const command = await rig.begin(0, RigCommand.write(rig.client.world, 0, 4096, 2));
  await rig.sim.run(rig.sim.now + 2500);
  assert.is(command.isDone, false);
  rig.conductor.isDeaf = false;
  assert.is(await rig.sim.settle(command.done), STATUS_OK);
  await rig.close();
});

test('a secondary that gets the configuration after the primary is waited for', async () => {
  const rig = await StoreRig.configured(9, ['IN_SYNC', 'IN_SYNC']);
  await rig.configure(() => undefined, [1]);
  const command = await rig.begin(0, RigCommand.write(rig.client.world, 0, 4096, 2));
  await rig.sim.run(rig.sim.now + 300);
  assert.is(command.isDone, false);
  await rig.conductorProcess.perform(() => rig.conductor.pushAll([2]));
  assert.is(await rig.sim.settle(command.done), STATUS_OK);
  assert.equal(rig.conductor.errors, []);
  await rig.close();
});

test('a secondary that gets the configuration before the primary gets the write again', async () => {
  const rig = await StoreRig.configured(10, ['IN_SYNC', 'IN_SYNC']);
  await rig.configure(() => undefined, [2]);
  const command = RigCommand.write(rig.client.world, 0, 4096, 2);
  command.metaVersion = rig.conductor.metaVersion - 1;
  await rig.begin(0, command);
  await rig.sim.run(rig.sim.now + 300);
  assert.is(command.isDone, false);
  await rig.conductorProcess.perform(() => rig.conductor.pushAll([1]));
  assert.is(await rig.sim.settle(command.done), STATUS_OK);
  assert.equal(rig.conductor.errors, []);
  assert.is(await rig.digest(1), await rig.digest(0));
  await rig.close();
});

test('a read of a range that is being written waits until the write is on all replicas', async () => {
  const rig = await StoreRig.configured(11, ['IN_SYNC', 'IN_SYNC']);
  assert.is((await rig.read(0, 0, 4096)).status, STATUS_OK);
  rig.sim.network.links.configure(rig.sim.machine('a'), rig.sim.machine('b'), { latencyMs: 40 });
  const write = await rig.begin(0, RigCommand.write(rig.client.world, 4096, 4096, 8));
  await rig.sim.run(rig.sim.now + 10);
  const overlapping = await rig.begin(0, new RigCommand(rig.client.world, OP_READ, 0, 16384));
  const beside = await rig.begin(0, new RigCommand(rig.client.world, OP_READ, 8192, 4096));
  await rig.sim.run(() => beside.isDone);
  assert.is(write.isDone, false);
  await rig.sim.run(() => overlapping.isDone);
  assert.is(write.isDone, true);
  assert.is(overlapping.status, STATUS_OK);
  await rig.close();
});

test('a request that waited for another one while a newer writer attached is fenced', async () => {
  const rig = await StoreRig.configured(12, ['IN_SYNC', 'IN_SYNC']);
  rig.sim.network.links.configure(rig.sim.machine('a'), rig.sim.machine('b'), { latencyMs: 60 });
  const first = await rig.begin(0, RigCommand.write(rig.client.world, 0, 4096, 1));
  const second = await rig.begin(0, RigCommand.write(rig.client.world, 0, 4096, 2));
  await rig.sim.run(rig.sim.now + 10);
  rig.conductor.attachEpoch += 1;
  await rig.conductorProcess.perform(() => rig.conductor.push(1));
  assert.is(await rig.sim.settle(first.done), STATUS_OK);
  assert.is(await rig.sim.settle(second.done), STATUS_FENCED);
  assert.equal(await rig.read(0, 0, 4096), { status: STATUS_OK, byte: 1 });
  await rig.close();
});

test.run();
