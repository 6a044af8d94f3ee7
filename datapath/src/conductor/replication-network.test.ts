// Stores that have a network of their own for each other: what the conductor tells them of it, whatever they asked, and when it changes.
// The whole conductor in the simulated world, and fake stores.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { VolumeConfig } from '../api/model.ts';
import type { FakeStore } from './testing/fake-store.ts';
import { SimCluster } from './testing/sim-cluster.ts';

const GiB = 1024 ** 3;

/** Stores 1, 2, ... listen for each other at 10.2.0.1, 10.2.0.2, ... */
async function clusterWithNetwork(seed: number, storeCount: number): Promise<SimCluster> {
  const cluster = await SimCluster.start(seed, 0);
  for (let number = 1; number <= storeCount; number += 1) await cluster.startStore(number, `10.2.0.${number}:49163`);
  return cluster;
}

/** "1: 10.2.0.1:49163 10.2.0.2:49163" for each shard. */
function told(volume: VolumeConfig | null | undefined): string[] {
  return volume!.shards.map(({ index, replicas }) => `${index}: ${replicas.map((replica) => replica.address).join(' ')}`);
}

/** What it says to the conductor, and what it is answered. */
function say<T>(cluster: SimCluster, number: number, work: (store: FakeStore) => Promise<T>): Promise<T> {
  return cluster.storeProcesses.get(number)!.perform(() => work(cluster.store(number)));
}

const replicaId = (volume: VolumeConfig, shardIndex: number, replicaIndex: number): number =>
  volume.shards.find((shard) => shard.index === shardIndex)!.replicas[replicaIndex]!.id;

test('the answers to a primary say where stores reach each other, of the shards that it has, as its configuration does', async () => {
  const cluster = await clusterWithNetwork(61, 4);
  await cluster.createVolume('data', 2, 192 * GiB);
  const volume = await cluster.ask((client) => client.openVolume('data'));
  const places = [0, 1, 2].map((shard) => cluster.shardOf('data', shard));
  assert.equal(places, ['1S* 2S meta 1', '3S* 4S meta 1', '1S 2S* meta 1']);
  const address = (number: number): string => cluster.sim.machine(`store${number}`).address;
  const forClients = [`0: ${address(1)}:49162 ${address(2)}:49162`, `1: ${address(3)}:49162 ${address(4)}:49162`];
  assert.equal(told(volume).slice(0, 2), forClients, 'clients are told where clients come');
  const own = ['0: 10.2.0.1:49163 10.2.0.2:49163', '2: 10.2.0.1:49163 10.2.0.2:49163'];
  assert.equal(told(cluster.store(1).held.get(volume.volume_id)), own);

  const failed = replicaId(volume, 0, 1);
  const error = await say(cluster, 1, (store) =>
    store.client.handleError({ op: 'handle_error', ...store.report(failed, 1), sc: 0xc3 }),
  );
  assert.is(error.ret_code, 0);
  assert.is(cluster.shardOf('data'), '1S* 2O meta 2');
  assert.equal(told(error.volume), own, 'in the answer to handle_error');

  await cluster.until(() => cluster.shardOf('data') === '1S* 2R meta 3');
  const early = await say(cluster, 1, (store) => store.client.recoveryDone({ op: 'recovery_done', ...store.report(failed, 2) }));
  assert.is(early.ret_code, 7);
  assert.equal(told(early.volume), own, 'in a refusal');
  const done = await say(cluster, 1, (store) => store.client.recoveryDone({ op: 'recovery_done', ...store.report(failed, 3) }));
  assert.is(done.ret_code, 0);
  assert.is(cluster.shardOf('data'), '1S* 2S meta 4');
  assert.equal(told(done.volume), own, 'in the answer to recovery_done');
  await cluster.end();
});

test('a store that is reached elsewhere by other stores is back from away, and they are told its new address', async () => {
  const cluster = await clusterWithNetwork(62, 2);
  await cluster.createVolume('data', 2);
  const { volume_id: volumeId } = await cluster.ask((client) => client.openVolume('data'));
  const before = ['0: 10.2.0.1:49163 10.2.0.2:49163'];
  assert.equal(told(cluster.store(1).held.get(volumeId)), before);
  const { incarnation } = cluster.store(2);
  cluster.store(2).replicationAddress = '10.3.0.2:49163';
  await cluster.until(() => cluster.shardOf('data') === '1S* 2R meta 2', 1200);
  assert.is(cluster.store(2).incarnation, incarnation, 'the process is the same');
  const after = ['0: 10.2.0.1:49163 10.3.0.2:49163'];
  for (const number of [1, 2]) {
    const store = cluster.store(number);
    await cluster.until(() => store.held.get(volumeId)!.shards[0]!.meta_ver === 2, 200);
    assert.equal(told(store.held.get(volumeId)), after, `store ${number}`);
  }
  cluster.store(2).replicationAddress = null;
  await cluster.until(() => cluster.store(1).held.get(volumeId)!.shards[0]!.meta_ver > 2, 1200);
  const shared = `0: 10.2.0.1:49163 ${cluster.sim.machine('store2').address}:49162`;
  assert.equal(told(cluster.store(1).held.get(volumeId)), [shared], 'its network for stores is gone');
  await cluster.end();
});

test.run();
