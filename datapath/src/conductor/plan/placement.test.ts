// Where replicas go.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ClusterState } from '../state/cluster-state.ts';
import { CAPACITY, diskUuidOf, parseLiveness, stateWithStores, withShards } from '../testing/plan-notation.ts';
import type { LivenessView } from './liveness.ts';
import { placeVolume, type PlacementRequest } from './placement.ts';

const GiB = 1024 ** 3;

/** By shard: the stores, the primary's with a star. */
function place(state: ClusterState, view: LivenessView, request: Partial<PlacementRequest>): string[] {
  const full = { sizeBytes: 64 * GiB, shardSizeBytes: 64 * GiB, replicaCount: 2, allowSameHost: false, ...request };
  const placements = placeVolume(state, view, full);
  for (const placement of placements) {
    for (const replica of placement.replicas) assert.is(replica.diskUuid, diskUuidOf(replica.storeId), 'a disk of that store');
  }
  return placements.map((placement) =>
    placement.replicas.map((replica, index) => `${replica.storeId}${index === placement.primary ? '*' : ''}`).join(' '),
  );
}

const withFree = (view: LivenessView, free: Readonly<Record<number, number>>): LivenessView => ({
  ...view,
  freeBytes: (storeId) => free[storeId] ?? CAPACITY,
});

test('replicas are on different hosts, shards and primaries spread over all of them', () => {
  const placed = place(stateWithStores(3), parseLiveness(''), { sizeBytes: 3 * 64 * GiB });
  assert.equal(placed, ['1* 2', '3* 1', '2* 3']);
});

test('two stores of one host never share a shard', () => {
  const state = stateWithStores(4, { 1: 'a', 2: 'a', 3: 'b', 4: 'b' });
  for (const shard of place(state, parseLiveness(''), { sizeBytes: 8 * 64 * GiB })) {
    const stores = shard.replace('*', '').split(' ').map(Number);
    assert.is(stores.filter((store) => store <= 2).length, 1, shard);
  }
});

test('too few hosts is an error that says how many there are', () => {
  const state = stateWithStores(3, { 1: 'a', 2: 'a', 3: 'b' });
  assert.throws(() => place(state, parseLiveness(''), { replicaCount: 3 }), /^only 2 hosts available but replica is 3/);
  assert.throws(() => place(stateWithStores(2), parseLiveness('2dead'), {}), /^only 1 hosts available but replica is 2/);
  assert.throws(() => place(stateWithStores(2), parseLiveness('2bad'), {}), /^only 1 hosts available but replica is 2/);
  assert.throws(() => place(stateWithStores(2), parseLiveness('2unknown'), {}), /^only 1 hosts available but replica is 2/);
});

test('where the cluster allows it, stores of one host do, but different hosts come first', () => {
  const oneHost = stateWithStores(3, { 1: 'a', 2: 'a', 3: 'a' });
  assert.equal(place(oneHost, parseLiveness(''), { replicaCount: 3, allowSameHost: true }), ['1* 2 3']);
  const twoHosts = stateWithStores(3, { 1: 'a', 2: 'a', 3: 'b' });
  assert.equal(place(twoHosts, parseLiveness(''), { allowSameHost: true }), ['1* 3']);
  assert.throws(
    () => place(oneHost, parseLiveness('3dead'), { replicaCount: 3, allowSameHost: true }),
    /^only 2 stores available but replica is 3/,
  );
});

test('what was promised counts, also before it is written', () => {
  // Each of these volumes has promised 1 GiB on stores 1 and 2.
  const state = withShards(stateWithStores(4), ['1S* 2S', '1S* 2S']);
  assert.equal(place(state, parseLiveness(''), {}), ['3* 4']);
});

test('the primary goes where there are the fewest', () => {
  const state = withShards(stateWithStores(2), ['1S* 2S', '1S* 2S']);
  assert.equal(place(state, parseLiveness(''), {}), ['1 2*']);
});

test('nearly full disks come last, full ones never', () => {
  const low = withFree(parseLiveness(''), { 1: CAPACITY * 0.05 });
  assert.equal(place(stateWithStores(3), low, {}), ['2* 3']);
  assert.equal(place(stateWithStores(2), low, {}), ['2* 1']);
  const full = withFree(parseLiveness(''), { 1: 1024 ** 2 });
  assert.throws(
    () => place(stateWithStores(2), full, {}),
    /^only 1 of 2 replicas find a disk with 64 MiB free on a host of its own/,
  );
});

test.run();
