// Growing, attaching and detaching volumes with the whole conductor in the simulated world, and fake stores.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { PfError } from '../base/errors.ts';
import { SimCluster } from './testing/sim-cluster.ts';

const GiB = 1024 ** 3;
const ID = 66 * 2 ** 24;

async function rejection(promise: Promise<unknown>): Promise<PfError> {
  try {
    await promise;
  } catch (error) {
    return error as PfError;
  }
  throw new Error('it did not fail');
}

const resize = (cluster: SimCluster, sizeBytes: number) => cluster.ask((client) => client.resizeVolume('data', sizeBytes));
/** What each store holds of the volume: its size, and the meta versions of its shards. */
const heldBy = (cluster: SimCluster, number: number): string => {
  const held = cluster.store(number).held.get(ID);
  const shards = held?.shards.map((shard) => `${shard.index}:${shard.meta_ver}`).join(' ');
  return held === undefined ? 'nothing' : `${held.volume_size / GiB} GiB, ${shards}`;
};

test('a volume grows: the stores know of it when the answer comes, and openers get all of it', async () => {
  const cluster = await SimCluster.start(1, 3);
  await cluster.createVolume('data', 3, GiB);
  await cluster.ask((client) => client.openVolume('data'));
  const inPlace = await resize(cluster, 2 * GiB);
  assert.equal([inPlace.size, inPlace.meta_ver, inPlace.status, inPlace.op], [2 * GiB, 2, 'OK', 'resize_volume_reply']);
  assert.is(heldBy(cluster, 1), '2 GiB, 0:2', 'the primary');
  const further = await resize(cluster, 130 * GiB);
  assert.is(further.size, 130 * GiB);
  const opened = await cluster.ask((client) => client.openVolume('data', { attachEpoch: 1 }));
  assert.equal([opened.volume_size, ...opened.shards.map((shard) => shard.meta_ver)], [130 * GiB, 3, 1, 1]);
  for (const shard of opened.shards) {
    const held = cluster.store(shard.replicas[shard.primary_rep_index]!.store_id).held.get(ID)!;
    assert.is(held.volume_size, 130 * GiB, `the primary of shard ${shard.index}`);
  }
  const primaries = opened.shards.map((shard) => shard.replicas[shard.primary_rep_index]!.store_id);
  assert.equal(primaries.toSorted(), [1, 2, 3], 'new shards get the stores with the fewest primaries');
  await cluster.end();
});

test('a resize that was sent again changes nothing; a smaller, an odd or a too large size is refused', async () => {
  const cluster = await SimCluster.start(2, 2);
  await cluster.ask((client) => client.createVolume('data', { sizeBytes: GiB, replicaCount: 2, shardSizeBytes: 64 * 1024 ** 2 }));
  await resize(cluster, 2 * GiB);
  const { appliedIndex } = cluster.conductor.engine;
  assert.is((await resize(cluster, 2 * GiB)).size, 2 * GiB);
  assert.is(cluster.conductor.engine.appliedIndex, appliedIndex);
  const smaller = await rejection(resize(cluster, GiB));
  assert.is(smaller.code, 'INVALID_ARGUMENT');
  assert.is(smaller.message, 'cannot shrink volume "data" from 2147483648 to 1073741824 bytes: a volume only grows');
  assert.match((await rejection(resize(cluster, 3 * GiB + 1))).message, /a multiple of 4096 wanted/);
  assert.match(
    (await rejection(resize(cluster, 257 * GiB))).message,
    /needs 4112 shards of 67108864 bytes, at most 4096 are possible/,
  );
  assert.match(
    (await rejection(resize(cluster, 64 * 1024 * GiB + 4096))).message,
    /^size: a whole number from 4096 to 70368744177664/,
  );
  assert.is((await rejection(cluster.ask((client) => client.resizeVolume('none', GiB)))).code, 'NOT_FOUND');
  assert.is(cluster.conductor.engine.appliedIndex, appliedIndex, 'nothing that was refused was written');
  await cluster.end();
});

test('two growths at once: each ends with the size that it asked for, or with the larger one in force', async () => {
  const cluster = await SimCluster.start(3, 2);
  await cluster.createVolume('data', 2, GiB);
  const same = [resize, resize].map(() => cluster.begin((client) => client.resizeVolume('data', 65 * GiB)));
  for (const reply of await cluster.sim.settle(Promise.all(same))) assert.is(reply.size, 65 * GiB);
  assert.is(cluster.conductor.state.volumes.get(ID)!.shards.length, 2);
  const larger = cluster.begin((client) => client.resizeVolume('data', 129 * GiB));
  const smaller = cluster.begin((client) => client.resizeVolume('data', 66 * GiB)).catch((error: PfError) => error);
  const [first, second] = await cluster.sim.settle(Promise.all([larger, smaller]));
  assert.is(first.size, 129 * GiB);
  assert.ok('size' in second || second.message.startsWith('cannot shrink'), String(second));
  assert.is(cluster.conductor.state.volumes.get(ID)!.shards.length, 3);
  await cluster.end();
});

test('a growth waits for a primary that is slow to hear, and not for a shard that nobody serves', async () => {
  const cluster = await SimCluster.start(4, 2);
  await cluster.createVolume('data', 1, GiB);
  await cluster.ask((client) => client.openVolume('data'));
  cluster.store(1).failCalls = 4;
  const growing = cluster.begin((client) => client.resizeVolume('data', 2 * GiB));
  await cluster.run(100);
  assert.is(heldBy(cluster, 1), '1 GiB, 0:1');
  assert.is((await cluster.sim.settle(growing)).size, 2 * GiB);
  assert.is(heldBy(cluster, 1), '2 GiB, 0:2');
  cluster.killStore(1);
  await cluster.until(() => cluster.conductor.monitor.livenessOf(1) === 'DEAD');
  const reply = await resize(cluster, 65 * GiB);
  assert.equal([reply.size, reply.status], [65 * GiB, 'ERROR']);
  assert.is(heldBy(cluster, 2), '65 GiB, 1:1');
  await cluster.startStore(1);
  await cluster.until(() => heldBy(cluster, 1) === '65 GiB, 0:4', 3000);
  await cluster.end();
});

test('a growth whose stores do not take it is in force, says so, and is waited for by asking again', async () => {
  const cluster = await SimCluster.start(5, 1);
  await cluster.createVolume('data', 1, GiB);
  cluster.store(1).isHoldingBack = true;
  const error = await rejection(resize(cluster, 2 * GiB));
  assert.is(error.code, 'UNAVAILABLE');
  assert.match(error.message, /has 2147483648 bytes from now on, but the primary of shard 0 could not be told within 10000 ms/);
  const again = cluster.begin((client) => client.resizeVolume('data', 2 * GiB));
  await cluster.run(500);
  cluster.store(1).isHoldingBack = false;
  assert.is((await cluster.sim.settle(again)).size, 2 * GiB);
  assert.is(heldBy(cluster, 1), '2 GiB, 0:2');
  await cluster.end();
});

test('a growth that finds no hosts or no room is refused and changes nothing; one inside the last shard needs neither', async () => {
  const cluster = await SimCluster.start(6, 2);
  await cluster.createVolume('data', 2, GiB);
  cluster.killStore(2);
  await cluster.until(() => cluster.conductor.monitor.livenessOf(2) === 'DEAD');
  const error = await rejection(resize(cluster, 65 * GiB));
  assert.is(error.code, 'UNAVAILABLE');
  assert.match(error.message, /^only 1 hosts available but replica is 2/);
  assert.is(cluster.conductor.state.volumes.get(ID)!.sizeBytes, GiB);
  assert.is((await resize(cluster, 2 * GiB)).status, 'DEGRADED');
  await cluster.end();
});

test('sizes, attachments and releases survive a crash of the conductor', async () => {
  const cluster = await SimCluster.start(7, 2);
  await cluster.createVolume('data', 2, GiB);
  await cluster.ask((client) => client.openVolume('data', { client: 'node1' }));
  await resize(cluster, 65 * GiB);
  const hash = cluster.conductor.stateHash();
  cluster.conductorProcess.crash();
  await cluster.startConductor();
  assert.is(cluster.conductor.stateHash(), hash);
  const [info] = await cluster.ask((client) => client.listVolume());
  assert.equal([info!.size, info!.attached_to, info!.attach_epoch], [65 * GiB, 'node1', 1]);
  assert.is(
    (await resize(cluster, 65 * GiB)).size,
    65 * GiB,
    'a resize that is sent again to a new conductor waits for its stores',
  );
  await cluster.end();
});

test('who has a volume attached is shown, until that one closes it', async () => {
  const cluster = await SimCluster.start(8, 2);
  await cluster.createVolume('data', 2);
  const shown = async () => {
    const volume = await cluster.ask((client) => client.getVolume('data'));
    return [volume.attached_to, volume.attach_epoch];
  };
  assert.equal(await shown(), [null, 0]);
  await cluster.ask((client) => client.openVolume('data', { client: 'node1' }));
  await cluster.ask((client) => client.openVolume('data', { isReadOnly: true, client: 'reader' }));
  assert.equal(await shown(), ['node1', 1]);
  await cluster.ask((client) => client.openVolume('data', { client: 'node2' }));
  const late = await cluster.ask((client) => client.closeVolume('data', { attachEpoch: 1 }));
  assert.equal(late, { op: 'close_volume_reply', ret_code: 0, volume_name: 'data', attach_epoch: 2, attached_to: 'node2' });
  const foreign = await cluster.ask((client) => client.closeVolume('data', { attachEpoch: 2, volumeId: 5 }));
  assert.is(foreign.attached_to, 'node2', 'a volume that had the name before');
  assert.is((await rejection(cluster.ask((client) => client.closeVolume('data', { attachEpoch: 3 })))).code, 'INVALID_ARGUMENT');
  const closed = await cluster.ask((client) => client.closeVolume('data', { attachEpoch: 2, volumeId: ID }));
  assert.is(closed.attached_to, null);
  assert.equal(await shown(), [null, 2]);
  assert.is((await cluster.ask((client) => client.closeVolume('data', { attachEpoch: 2 }))).attached_to, null, 'and again');
  await cluster.end();
});

test('an attached volume is not deleted, unless by force', async () => {
  const cluster = await SimCluster.start(9, 1);
  await cluster.createVolume('data', 1);
  await cluster.ask((client) => client.openVolume('data', { client: 'node1' }));
  const error = await rejection(cluster.ask((client) => client.deleteVolume('data')));
  assert.is(error.code, 'INVALID_STATE');
  assert.match(
    error.message,
    /"node1" has it attached for writing; close it there, take it away with detach_volume, or delete it with force/,
  );
  assert.is(await cluster.ask((client) => client.volumeExists('data')), true);
  await cluster.ask((client) => client.deleteVolume('data', { force: true }));
  assert.is(await cluster.ask((client) => client.volumeExists('data')), false);
  await cluster.end();
});

test('a detachment is answered when every primary holds the new epoch, and not before', async () => {
  const cluster = await SimCluster.start(10, 2);
  await cluster.createVolume('data', 2);
  await cluster.ask((client) => client.openVolume('data', { client: 'node1' }));
  cluster.store(1).isHoldingBack = true;
  const detaching = cluster.begin((client) => client.detachVolume('data'));
  await cluster.run(1000);
  const [info] = await cluster.ask((client) => client.listVolume());
  assert.equal([info!.attached_to, info!.attach_epoch], ['node1', 2], 'still recorded: the old writer may not be fenced yet');
  cluster.store(1).isHoldingBack = false;
  const reply = await cluster.sim.settle(detaching);
  assert.equal([reply.attached_to, reply.attach_epoch], [null, 2]);
  assert.is(cluster.store(1).held.get(ID)!.attach_epoch, 2);
  assert.is((await rejection(cluster.ask((client) => client.openVolume('data', { attachEpoch: 1 })))).code, 'FENCED');
  const { appliedIndex } = cluster.conductor.engine;
  assert.is((await cluster.ask((client) => client.detachVolume('data'))).attach_epoch, 2, 'a second one has nothing to do');
  assert.is(cluster.conductor.engine.appliedIndex, appliedIndex);
  await cluster.end();
});

test('a detachment from one client leaves another one alone', async () => {
  const cluster = await SimCluster.start(11, 1);
  await cluster.createVolume('data', 1);
  await cluster.ask((client) => client.openVolume('data', { client: 'node2' }));
  const reply = await cluster.ask((client) => client.detachVolume('data', { client: 'node1' }));
  assert.equal([reply.attached_to, reply.attach_epoch], ['node2', 1]);
  assert.is((await cluster.ask((client) => client.detachVolume('data', { client: 'node2' }))).attached_to, null);
  await cluster.end();
});

test('a detachment that cannot be completed says so and keeps the record', async () => {
  const cluster = await SimCluster.start(12, 1);
  await cluster.createVolume('data', 1);
  await cluster.ask((client) => client.openVolume('data', { client: 'node1' }));
  cluster.killStore(1);
  const error = await rejection(cluster.ask((client) => client.detachVolume('data')));
  assert.is(error.code, 'UNAVAILABLE');
  assert.match(error.message, /cannot detach volume "data" from "node1" yet: the primary of shard 0 did not take attach epoch 2/);
  assert.is((await cluster.ask((client) => client.listVolume()))[0]!.attached_to, 'node1');
  await cluster.startStore(1);
  assert.is((await cluster.ask((client) => client.detachVolume('data'))).attached_to, null);
  await cluster.end();
});

test('an attachment: opened again and again by its holder alone, over for good when it is detached', async () => {
  const cluster = await SimCluster.start(11, 2);
  await cluster.createVolume('data', 1, GiB);
  const attach = (client: string, isReadOnly = false) =>
    cluster.ask((conductor) => conductor.attachVolume('data', { client, isReadOnly }));
  const unknown = await rejection(attach('node1'));
  assert.equal([unknown.code, /no such node is known/.test(unknown.message)], ['NOT_FOUND', true]);
  for (const name of ['node1', 'node2', 'node3']) await cluster.ask((conductor) => conductor.putNode(name, '1.0.0'));
  assert.equal((await cluster.ask((conductor) => conductor.listNode())).length, 3);
  const attached = await attach('node1');
  assert.equal(attached, {
    op: 'attach_volume_reply',
    ret_code: 0,
    volume_name: 'data',
    volume_id: ID,
    size: GiB,
    attachment: 1,
    attach_epoch: 1,
  });
  const { appliedIndex } = cluster.conductor.engine;
  assert.is((await attach('node1')).attachment, 1);
  await cluster.ask((conductor) => conductor.putNode('node1', '1.0.0'));
  assert.is(cluster.conductor.engine.appliedIndex, appliedIndex, 'asking again writes nothing');
  const other = await rejection(attach('node2'));
  assert.equal([other.code, /"node1" has it/.test(other.message)], ['INVALID_STATE', true]);
  assert.is((await attach('node3', true)).attachment, 2);
  const open = (attachment: number) => cluster.ask((conductor) => conductor.openVolume('data', { client: 'node1', attachment }));
  assert.is((await open(1)).attach_epoch, 2);
  assert.is((await open(1)).attach_epoch, 3);
  assert.is((await rejection(open(2))).code, 'FENCED', 'a reader');
  const read = await cluster.ask((conductor) =>
    conductor.openVolume('data', { client: 'node3', attachment: 2, isReadOnly: true }),
  );
  assert.is(read.attach_epoch, 3, 'reading raises nothing');
  const info = (await cluster.ask((conductor) => conductor.listVolume()))[0]!;
  assert.equal(
    await cluster.ask((conductor) => conductor.getVolumes(['nobody', 'data', 'data'])),
    [info],
    'each once, where it is',
  );
  assert.equal(info.attachments, [
    { client: 'node1', attachment: 1, read_only: false, shared: false },
    { client: 'node3', attachment: 2, read_only: true, shared: false },
  ]);
  const detached = await cluster.ask((conductor) => conductor.detachVolume('data', { client: 'node1' }));
  assert.equal([detached.attached_to, detached.attach_epoch], [null, 4]);
  assert.is((await rejection(open(1))).code, 'FENCED');
  assert.is((await attach('node1')).attachment, 3);
  await cluster.ask((conductor) => conductor.detachVolume('data', { client: 'node3' }));
  const gone = cluster.ask((conductor) => conductor.openVolume('data', { client: 'node3', attachment: 2, isReadOnly: true }));
  assert.is((await rejection(gone)).code, 'FENCED');
  assert.is((await cluster.ask((conductor) => conductor.listVolume()))[0]!.attachments.length, 1);
  await cluster.end();
});

test.run();
