// A secondary as its primary sees it: the test plays the primary, on a replication connection.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { StoreClient } from '../api/store-client.ts';
import { ClientSession } from '../wire/client-session.ts';
import {
  FLAG_RECOVERY,
  OP_HEARTBEAT,
  OP_READ_REPLICA,
  OP_REPLICATE_TRIM,
  OP_REPLICATE_WRITE,
  OP_WRITE,
} from '../wire/messages.ts';
import { STATUS_INVALID_OPCODE, STATUS_NOT_OPEN, STATUS_OK, STATUS_OUT_OF_RANGE, STATUS_STALE } from '../wire/status.ts';
import type { ReplicaStatus } from '../api/model.ts';
import { CLUSTER_TOKEN, VOLUME_ID } from './testing/fake-conductor.ts';
import { RigCommand, StoreRig } from './testing/store-rig.ts';

const MiB = 1024 * 1024;

/** Store 2 is a secondary; store 1, the primary, has been told nothing. */
class Secondary {
  readonly rig: StoreRig;
  readonly session: ClientSession;

  static async open(seed: number, status: ReplicaStatus): Promise<Secondary> {
    const rig = await StoreRig.open(seed, { stores: 2 });
    await rig.configure(() => (rig.conductor.statuses = ['IN_SYNC', status]), [2]);
    const address = { kind: 'tcp', host: rig.sim.machine('b').address, port: 49162 } as const;
    const options = { volumeId: 0, clientId: 3, token: CLUSTER_TOKEN, depth: 16 };
    return new Secondary(rig, await rig.client.perform((world) => ClientSession.connect(world, address, options)));
  }

  constructor(rig: StoreRig, session: ClientSession) {
    this.rig = rig;
    this.session = session;
  }

  async send(opcode: number, offset: number, length: number, edit: Partial<RigCommand> = {}): Promise<RigCommand> {
    const command = new RigCommand(this.rig.client.world, opcode, offset, length);
    const { memory } = this.rig.client.world;
    if (opcode === OP_REPLICATE_WRITE || opcode === OP_READ_REPLICA) command.memory = memory.acquireSlot(length);
    if (opcode === OP_REPLICATE_WRITE) memory.bytes.fill(edit.tag as number, command.memory, command.memory + length);
    command.metaVersion = this.rig.conductor.metaVersion;
    command.commandSequence = 1;
    Object.assign(command, edit);
    await this.rig.client.perform(async () => this.session.submit(command));
    await this.rig.sim.settle(command.done);
    return command;
  }

  /** "generation.sequence bitmap" by extent. */
  async stamps(above = 0): Promise<string[]> {
    const address = `${this.rig.sim.machine('b').address}:49181`;
    const list = await this.rig.conductorProcess.perform((world) =>
      new StoreClient(world, address).listExtents({ volume_id: VOLUME_ID, shard_index: 0, from_object: 0, above }),
    );
    return list.extents.map((each) => `${each.extentIndex}: ${each.generation}.${each.sequence} ${each.written.toString(2)}`);
  }
}

test('an in-sync replica stores writes with their stamp, and the larger one wins', async () => {
  const secondary = await Secondary.open(81, 'IN_SYNC');
  assert.is((await secondary.send(OP_REPLICATE_WRITE, 0, 4096, { sequence: 5, tag: 1 })).status, STATUS_OK);
  assert.is((await secondary.send(OP_REPLICATE_WRITE, 4096, 4096, { sequence: 4, tag: 2 })).status, STATUS_OK);
  assert.equal(await secondary.stamps(), ['0: 1.5 11']);
  assert.is((await secondary.send(OP_REPLICATE_TRIM, 0, 4096, { sequence: 6 })).status, STATUS_OK);
  assert.equal(await secondary.stamps(), ['0: 1.6 10']);
  const read = await secondary.send(OP_READ_REPLICA, 0, 8192);
  assert.is(read.status, STATUS_OK);
  const { bytes } = secondary.rig.client.world.memory;
  assert.equal([bytes[read.memory], bytes[read.memory + 4096]], [0, 2]);
  await secondary.rig.close();
});

test('a recovering replica leaves stamps alone until the recovery writes, which set them exactly', async () => {
  const secondary = await Secondary.open(82, 'RECOVERING');
  await secondary.send(OP_REPLICATE_WRITE, 0, 8192, { flags: FLAG_RECOVERY, sequence: 50, commandSequence: 3, tag: 1 });
  assert.equal(await secondary.stamps(), ['0: 3.50 11']);
  await secondary.send(OP_REPLICATE_WRITE, 8192, 4096, { sequence: 60, commandSequence: 4, tag: 2 });
  assert.equal(await secondary.stamps(), ['0: 3.50 111'], 'a plain write');
  await secondary.send(OP_REPLICATE_TRIM, 0, 4096, { sequence: 61, commandSequence: 4 });
  assert.equal(await secondary.stamps(), ['0: 3.50 110'], 'a plain trim');
  await secondary.send(OP_REPLICATE_WRITE, 8192, 4096, { flags: FLAG_RECOVERY, sequence: 40, commandSequence: 2, tag: 2 });
  assert.equal(await secondary.stamps(), ['0: 2.40 110'], 'exactly means smaller, too');
  await secondary.rig.close();
});

test('a limited list is refused while there are changes above the limit that left no stamp', async () => {
  const secondary = await Secondary.open(83, 'IN_SYNC');
  await secondary.send(OP_REPLICATE_WRITE, 0, 4096, { sequence: 5, tag: 1 });
  await secondary.send(OP_REPLICATE_WRITE, 65536, 4096, { sequence: 6, tag: 1 });
  assert.equal(await secondary.stamps(5), ['1: 1.6 1']);
  await secondary.send(OP_REPLICATE_TRIM, 0, 65536, { sequence: 7 });
  await secondary.stamps(6).then(
    () => assert.unreachable(),
    (error: Error) => assert.match(error.message, /changes up to 7 left no stamp; ask for all/),
  );
  assert.equal(await secondary.stamps(7), []);
  assert.equal(await secondary.stamps(), ['1: 1.6 1']);
  await secondary.rig.close();
});

test('requests under another meta version, or of a volume or shard that is not here, are refused', async () => {
  const secondary = await Secondary.open(84, 'IN_SYNC');
  const older = await secondary.send(OP_REPLICATE_WRITE, 0, 4096, { metaVersion: 9, tag: 1 });
  assert.is(older.status, STATUS_STALE);
  assert.is(older.replyMetaVersion, 1);
  const foreign = await secondary.send(OP_REPLICATE_WRITE, 0, 4096, { volumeId: 5, tag: 1 });
  assert.is(foreign.status, STATUS_NOT_OPEN);
  assert.is(foreign.replyMetaVersion, 0xffff);
  assert.is((await secondary.send(OP_REPLICATE_WRITE, 400 * MiB, 4096, { tag: 1 })).status, STATUS_NOT_OPEN);
  assert.is((await secondary.send(OP_REPLICATE_WRITE, 128 * MiB - 4096, 8192, { tag: 1 })).status, STATUS_OUT_OF_RANGE);
  assert.is((await secondary.send(OP_HEARTBEAT, 0, 0, { metaVersion: 2 })).status, STATUS_STALE);
  assert.is((await secondary.send(OP_HEARTBEAT, 0, 0)).status, STATUS_OK);
  assert.is(
    (await secondary.send(OP_WRITE, 0, 4096)).status,
    STATUS_INVALID_OPCODE,
    'a client request on a replication connection',
  );
  assert.equal(await secondary.stamps(), []);
  await secondary.rig.close();
});

test('a replica that is out of sync takes nothing', async () => {
  const secondary = await Secondary.open(85, 'OUT_OF_SYNC');
  assert.is((await secondary.send(OP_REPLICATE_WRITE, 0, 4096, { sequence: 5, tag: 1 })).status, STATUS_STALE);
  assert.is((await secondary.send(OP_HEARTBEAT, 0, 0)).status, STATUS_STALE);
  await secondary.rig.close();
});

test('a replication connection without the token of the cluster is refused', async () => {
  const secondary = await Secondary.open(86, 'IN_SYNC');
  const address = { kind: 'tcp', host: secondary.rig.sim.machine('b').address, port: 49162 } as const;
  await secondary.rig.client
    .perform((world) => ClientSession.connect(world, address, { volumeId: 0, clientId: 4, token: 1, depth: 16 }))
    .then(
      () => assert.unreachable(),
      (error: { code: string }) => assert.is(error.code, 'PERMISSION_DENIED'),
    );
  await secondary.rig.close();
});

test.run();
