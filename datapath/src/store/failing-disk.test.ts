// A primary whose disk answers with errors, or not at all, while other replicas are well: the client is sent to one of them.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../base/sizes.ts';
import { OP_READ } from '../wire/messages.ts';
import { STATUS_IO_ERROR, STATUS_NOT_READY, STATUS_OK } from '../wire/status.ts';
import { RigCommand, StoreRig } from './testing/store-rig.ts';

const diskOf = (rig: StoreRig, machine: string) => rig.sim.machine(machine).disk('/dev/nvme0');

async function configuredWithData(seed: number, replicas: number): Promise<StoreRig> {
  const rig = await StoreRig.configured(
    seed,
    Array.from({ length: replicas }, () => 'IN_SYNC'),
  );
  assert.is(await rig.write(0, 0, 65536, 3), STATUS_OK);
  await rig.sim.run(rig.sim.now + 50);
  return rig;
}

test('a primary that cannot read its disk is reported, and the next one serves', async () => {
  const rig = await configuredWithData(61, 3);
  diskOf(rig, 'a').faults.readError = 1;
  assert.is((await rig.read(0, 0, 4096)).status, STATUS_NOT_READY);
  await rig.sim.run(() => rig.conductor.errors.length > 0);
  assert.is(rig.conductor.errors[0]!.rep_id % 16, 0);
  await rig.configure(() => (rig.conductor.primary = 1));
  await rig.untilState(1, 'serving');
  assert.equal(await rig.read(1, 0, 4096), { status: STATUS_OK, byte: 3 });
  diskOf(rig, 'a').faults.readError = 0;
  await rig.close();
});

test('a sole replica that cannot read its disk says so, and is not taken out', async () => {
  const rig = await configuredWithData(62, 1);
  diskOf(rig, 'a').faults.readError = 1;
  assert.is((await rig.read(0, 0, 4096)).status, STATUS_IO_ERROR);
  assert.is(rig.conductor.errors.length, 0);
  diskOf(rig, 'a').faults.readError = 0;
  assert.equal(await rig.read(0, 0, 4096), { status: STATUS_OK, byte: 3 });
  await rig.close();
});

test('a primary whose disk hangs ends its requests and is reported; nothing is written into memory that was given back', async () => {
  const rig = await configuredWithData(63, 3);
  diskOf(rig, 'a').setStuck(true);
  const write = RigCommand.write(rig.client.world, 0, 4096, 9);
  const read = new RigCommand(rig.client.world, OP_READ, 32768, 4096);
  await rig.begin(0, write);
  await rig.begin(0, read);
  const startedAt = rig.sim.now;
  await rig.sim.run(() => write.isDone && read.isDone);
  assert.ok(rig.sim.now - startedAt < 2000, `answered after ${rig.sim.now - startedAt} ms`);
  assert.equal([write.status, read.status], [STATUS_NOT_READY, STATUS_NOT_READY]);
  await rig.sim.run(() => rig.conductor.errors.length > 0);
  assert.is(rig.conductor.errors[0]!.rep_id % 16, 0);
  rig.conductor.change(() => (rig.conductor.primary = 1));
  await rig.conductorProcess.perform(() => rig.conductor.pushAll([2, 3]), 20_000);
  await rig.untilState(1, 'serving');
  assert.is(await rig.write(1, 0, 4096, 10), STATUS_OK);
  assert.equal(await rig.read(1, 32768, 4096), { status: STATUS_OK, byte: 3 });
  diskOf(rig, 'a').setStuck(false);
  await rig.close();
});

test('a recovery from a disk that cannot be read blames the disk where another replica is in sync', async () => {
  const rig = await configuredWithData(64, 3);
  await rig.configure(() => (rig.conductor.statuses[2] = 'OUT_OF_SYNC'));
  assert.is(await rig.write(0, 0, 65536, 4), STATUS_OK);
  await rig.sim.run(rig.sim.now + 50);
  diskOf(rig, 'a').faults.readError = 1;
  await rig.configure(() => (rig.conductor.statuses[2] = 'RECOVERING'));
  await rig.sim.run(() => rig.conductor.errors.length > 0);
  assert.is(rig.conductor.errors[0]!.rep_id % 16, 0);
  diskOf(rig, 'a').faults.readError = 0;
  await rig.close();
});

test('reads report a secondary that only the primary cannot reach', async () => {
  const rig = await configuredWithData(65, 2);
  assert.equal(await rig.read(0, 0, 4096), { status: STATUS_OK, byte: 3 });
  rig.sim.network.partition([rig.sim.machine('a')], [rig.sim.machine('b')]);
  await rig.sim.run(rig.sim.now + 3000);
  assert.is((await rig.read(0, 0, 4096)).status, STATUS_NOT_READY);
  await rig.sim.run(() => rig.conductor.statuses[1] === 'OUT_OF_SYNC');
  assert.equal(await rig.read(0, 0, 4096), { status: STATUS_OK, byte: 3 });
  await rig.close();
});

test('a read whose blocks were repaired while another primary took over is refused, and its lock is gone', async () => {
  for (const delayMs of [1, 2, 4, 8]) {
    const rig = await StoreRig.configured(66, ['IN_SYNC', 'IN_SYNC']);
    assert.is(await rig.write(0, 0, MiB, 3), STATUS_OK);
    assert.is(await rig.write(0, 0, 4096, 44), STATUS_OK);
    await rig.sim.run(rig.sim.now + 50);
    const disk = diskOf(rig, 'a');
    for (let offset = 0; offset < disk.sizeBytes; offset += 4096) {
      if (
        disk.content
          .bytesAt(offset, 4096)
          .subarray(0, 2048)
          .every((each) => each === 44)
      )
        disk.rot(offset + 100, 3);
    }
    const read = new RigCommand(rig.client.world, OP_READ, 0, MiB);
    await rig.begin(0, read);
    await rig.sim.run(rig.sim.now + delayMs);
    await rig.configure(() => (rig.conductor.primary = 1));
    await rig.untilState(1, 'serving');
    await rig.sim.run(() => read.isDone);
    assert.is(await rig.metric(0, 'reads_parked_total'), 0, 'as a secondary nobody waits for promises');
    await rig.configure(() => (rig.conductor.primary = 0));
    await rig.untilState(0, 'serving', 5000);
    await rig.close();
  }
});

test('a lost disk takes only its own replicas out of service', async () => {
  const rig = await StoreRig.open(67, { stores: 1 });
  rig.conductor.volumeBytes = 2 * rig.conductor.shardBytes;
  rig.conductor.change(() => (rig.conductor.statuses = ['IN_SYNC']));
  const { volume } = rig.conductor;
  rig.conductor.volume = () => {
    const whole = volume.call(rig.conductor);
    const [first, second] = whole.shards;
    const lost = { ...first!.replicas[0]!, disk_uuid: '11111111-1111-4111-8111-111111111111', status: 'OUT_OF_SYNC' as const };
    return { ...whole, shards: [{ ...first!, replicas: [lost] }, second!] };
  };
  assert.is(await rig.conductorProcess.perform(() => rig.conductor.push(1)), true);
  assert.is(await rig.state(0, 0), 'none');
  assert.is(await rig.state(0, 1), 'serving');
  await rig.close();
});

test.run();
