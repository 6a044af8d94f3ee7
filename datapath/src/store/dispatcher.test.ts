// The way in for a front in the same process, and requests that no honest client sends.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Arena } from '../world/arena.ts';
import { StoreCommand } from '../wire/command.ts';
import { OP_QUERY_WRITTEN, OP_READ, OP_WRITE } from '../wire/messages.ts';
import { STATUS_NOT_OPEN, STATUS_OK } from '../wire/status.ts';
import { VOLUME_ID, VOLUME_TOKEN } from './testing/fake-conductor.ts';
import { StoreRig } from './testing/store-rig.ts';

interface LocalRequest {
  readonly opcode: number;
  readonly offset: number;
  readonly length: number;
  readonly memory: number;
  readonly payloadIsSlot?: boolean;
}

/** Submits inside the store's own process; the wire status. */
async function local(rig: StoreRig, request: LocalRequest): Promise<number> {
  const command = await rig.processes[0]!.perform(
    () =>
      new Promise<StoreCommand>((resolve) => {
        const local = new StoreCommand({ commandDone: resolve });
        Object.assign(
          local,
          {
            volumeId: VOLUME_ID,
            token: VOLUME_TOKEN,
            metaVersion: rig.conductor.metaVersion,
            attachEpoch: rig.conductor.attachEpoch,
          },
          request,
        );
        rig.stores[0]!.link.submit(local);
      }),
  );
  return command.status;
}

test('a front in the same process writes and reads through the link', async () => {
  const rig = await StoreRig.configured(71, ['IN_SYNC']);
  const { memory } = rig.processes[0]!.world;
  const slot = memory.acquireSlot(8192);
  memory.bytes.fill(5, slot, slot + 8192);
  assert.is(await local(rig, { opcode: OP_WRITE, offset: 4096, length: 8192, memory: slot }), STATUS_OK);
  memory.bytes.fill(0, slot, slot + 8192);
  assert.is(await local(rig, { opcode: OP_READ, offset: 8192, length: 4096, memory: slot }), STATUS_OK);
  assert.is(
    memory.bytes.subarray(slot, slot + 4096).every((byte) => byte === 5),
    true,
  );
  assert.is(await local(rig, { opcode: OP_QUERY_WRITTEN, offset: 0, length: 65536, memory: slot }), STATUS_OK);
  assert.is(memory.view.getUint16(slot, true), 0b110);
  memory.releaseSlot(slot);
  await rig.close();
});

test('a submitter that keeps its memory is answered when the disk has let go of it, one that leaves its slot earlier', async () => {
  const rig = await StoreRig.configured(72, ['IN_SYNC']);
  const arena = rig.processes[0]!.world.memory as Arena;
  const before = arena.takenSlots;
  const kept = arena.acquireSlot(4096);
  arena.bytes.fill(1, kept, kept + 4096);
  await local(rig, { opcode: OP_WRITE, offset: 0, length: 4096, memory: kept });
  arena.releaseSlot(kept);
  assert.is(arena.takenSlots, before, 'nobody else has it');
  const left = arena.acquireSlot(4096);
  arena.bytes.fill(2, left, left + 4096);
  await local(rig, { opcode: OP_WRITE, offset: 0, length: 4096, memory: left, payloadIsSlot: true });
  arena.releaseSlot(left);
  assert.is(arena.takenSlots, before + 1, 'the disk still writes it to its place');
  await rig.sim.run(rig.sim.now + 100);
  assert.is(arena.takenSlots, before);
  await rig.close();
});

test('requests of any content are answered, never crash the store, and disturb nobody', async () => {
  const rig = await StoreRig.configured(73, ['IN_SYNC', 'IN_SYNC']);
  const arena = rig.processes[0]!.world.memory as Arena;
  const random = rig.sim.random.fork('garbage');
  const before = arena.takenSlots;
  const numbers = [
    0,
    1,
    -1,
    511,
    512,
    4096,
    65536,
    2 ** 20,
    2 ** 20 + 512,
    2 ** 30,
    2 ** 31,
    2 ** 32,
    2 ** 53 - 1,
    -(2 ** 40),
    0.5,
    NaN,
    Infinity,
  ];
  const pick = <T>(from: readonly T[]): T => from[random.below(from.length)]!;
  let answered = 0;
  const count = 3000;
  await rig.processes[0]!.perform(async () => {
    for (let index = 0; index < count; index += 1) {
      const command = new StoreCommand({ commandDone: () => void (answered += 1) });
      command.opcode = pick([OP_READ, OP_WRITE, 4, 5, 32, 36, 40, 44, 50, 54, random.below(256), -1]);
      command.volumeId = pick([VOLUME_ID, VOLUME_ID, VOLUME_ID, 0, pick(numbers)]);
      command.token = pick([VOLUME_TOKEN, VOLUME_TOKEN, 0, pick(numbers)]);
      command.metaVersion = pick([rig.conductor.metaVersion, rig.conductor.metaVersion, 0, pick(numbers)]);
      command.attachEpoch = pick([rig.conductor.attachEpoch, pick(numbers)]);
      command.offset = pick(numbers);
      command.length = pick(numbers);
      command.flags = random.below(256);
      command.snapshotSequence = pick([0xffffffff, 0xffffffff, 0]);
      // Whatever passes the checks needs real memory.
      command.memory = arena.reserve(2 ** 20);
      rig.stores[0]!.link.submit(command);
      arena.release(command.memory, 2 ** 20);
    }
  });
  await rig.sim.run(() => answered === count);
  await rig.sim.run(rig.sim.now + 100);
  assert.is(arena.takenSlots, before);
  assert.is(await rig.metric(0, 'operations_in_flight'), 0);
  assert.is(await rig.write(0, 0, 4096, 3), STATUS_OK);
  assert.equal(await rig.read(0, 0, 4096), { status: STATUS_OK, byte: 3 });
  await rig.close();
});

test('a deleted volume is gone, its space is free, and its requests are refused', async () => {
  const rig = await StoreRig.configured(74, ['IN_SYNC']);
  assert.is(await rig.write(0, 0, 1024 * 1024, 3), STATUS_OK);
  const free = (await rig.status(0)).disks[0]!.free;
  const { StoreClient } = await import('../api/store-client.ts');
  await rig.conductorProcess.perform((world) =>
    new StoreClient(world, rig.stores[0]!.httpAddress).deleteVolume({ op: 'delete_volume', volume_id: VOLUME_ID, store_id: 1 }),
  );
  assert.is((await rig.status(0)).disks[0]!.free, free + 1024 * 1024);
  assert.is(await rig.write(0, 0, 4096, 3), STATUS_NOT_OPEN);
  await rig.close();
});

test.run();
