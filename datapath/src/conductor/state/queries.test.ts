// What clients and stores are told about where stores are.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseLiveness, stateWithStores, storeFacts, withShards } from '../testing/plan-notation.ts';
import type { ClusterState } from './cluster-state.ts';
import { storeInfo, volumeConfig } from './queries.ts';

/** Stores 1 to 3, of which the second has a network for stores. */
function stateWithNetwork(): ClusterState {
  const state = withShards(stateWithStores(3), ['1S* 2S 3S']);
  const second = { ...storeFacts(2), id: 2, replicationAddress: '10.2.0.2:49162' };
  return { ...state, stores: new Map(state.stores).set(2, second) };
}

function addressesOf(storeId?: number): readonly string[] {
  const state = stateWithNetwork();
  const volume = [...state.volumes.values()][0]!;
  const config = volumeConfig(state, parseLiveness(''), volume, storeId);
  return config.shards[0]!.replicas.map((replica) => replica.address);
}

test('clients are told the door for clients, stores the door for stores', () => {
  assert.equal(addressesOf(), ['host1:49162', 'host2:49162', 'host3:49162']);
  assert.equal(addressesOf(1), ['host1:49162', '10.2.0.2:49162', 'host3:49162']);
  assert.equal(addressesOf(3), ['host1:49162', '10.2.0.2:49162', 'host3:49162']);
});

test('lists show both', () => {
  const { stores } = stateWithNetwork();
  const info = storeInfo(parseLiveness(''), stores.get(2)!);
  assert.equal([info.data_address, info.replication_address], ['host2:49162', '10.2.0.2:49162']);
  assert.is(storeInfo(parseLiveness(''), stores.get(1)!).replication_address, null);
});

test.run();
