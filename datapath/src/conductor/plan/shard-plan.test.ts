// What happens to configurations when stores die, return, recover. The rules of sections 5 and 6 of docs/internals/replication.md as tables.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { apply } from '../state/apply.ts';
import type { ClusterState } from '../state/cluster-state.ts';
import { formatChange, parseLiveness, stateWithStores, storeFacts, withShards } from '../testing/plan-notation.ts';
import { planShards, type ShardPlanInput } from './shard-plan.ts';

function inputOf(state: ClusterState, liveness: string, resting: readonly number[] = []): ShardPlanInput {
  return {
    state,
    view: parseLiveness(liveness),
    returnedFacts: (storeId) => storeFacts(storeId, 'b'),
    isResting: (volumeId, shardIndex, replicaIndex) =>
      resting.includes(state.volumes.get(volumeId)!.shards[shardIndex]!.replicas[replicaIndex]!.storeId),
  };
}

/** The changes that a plan makes, as text; 'acknowledge 2' for a store's new incarnation. Every plan must be one that the reducer takes. */
function plan(shards: readonly string[], liveness: string, resting: readonly number[] = []): string[] {
  const state = withShards(stateWithStores(9), shards);
  const planned = planShards(inputOf(state, liveness, resting));
  if (planned === null) return [];
  const { outcome } = apply(state, { kind: 'reconfigure', ...planned });
  assert.ok(outcome.isAccepted, `refused: ${JSON.stringify(outcome)}`);
  return [
    ...planned.changes.map((change) => formatChange(state, change)),
    ...planned.stores.map((facts) => `acknowledge ${state.storeIdByUuid.get(facts.uuid)}`),
  ];
}

const CASES: readonly (readonly [name: string, shard: string, liveness: string, expected: readonly string[]])[] = [
  ['all is well', '1S* 2S 3S', '', []],
  ['a secondary died', '1S* 2S 3S', '2dead', ['v1: 1S* 2O 3S']],
  ['the primary died', '1S* 2S 3S', '1dead', ['v1: 1O 2S* 3S']],
  ['the primary and a secondary died', '1S* 2S 3S', '1dead 2dead', ['v1: 1O 2O 3S*']],
  ['everybody died: the set stays', '1S* 2S 3S', '1dead 2dead 3dead', []],
  ['the only replica died', '1S*', '1dead', []],
  ['the last in-sync one died; the recovering one never becomes primary', '1S* 2R', '1dead', []],
  ['the last in-sync one died; the one out of sync is not even recovered', '1S* 2O', '1dead', []],
  ['one of the dead set is alive again, under its old incarnation', '1S* 2S', '1dead', ['v1: 1O 2S*']],
  ['a secondary died and came back while nobody looked', '1S* 2S', '2returned', ['v1: 1S* 2R', 'acknowledge 2']],
  ['the primary came back as another process', '1S* 2S', '1returned', ['v1: 1R 2S*', 'acknowledge 1']],
  ['the only replica came back: same set, new meta version', '1S*', '1returned', ['v1: 1S*', 'acknowledge 1']],
  ['the last in-sync replica came back, its secondary recovers anew', '1S* 2R', '1returned', ['v1: 1S* 2R', 'acknowledge 1']],
  [
    'all came back: all hold what was acknowledged, the primary stays',
    '1S* 2S 3S',
    '1returned 2returned 3returned',
    ['v1: 1S* 2S 3S', 'acknowledge 1', 'acknowledge 2', 'acknowledge 3'],
  ],
  ['one of two came back, the other is still dead', '1S* 2S', '1dead 2returned', ['v1: 1O 2S*', 'acknowledge 2']],
  ['a store that was out of sync came back', '1S* 2O', '2returned', ['v1: 1S* 2R', 'acknowledge 2']],
  ['a store that holds nothing came back', '1S* 2S', '3returned', ['acknowledge 3']],
  ['a recovering store died', '1S* 2R', '2dead', ['v1: 1S* 2O']],
  ['a recovering store came back: the copy starts again', '1S* 2R', '2returned', ['v1: 1S* 2R', 'acknowledge 2']],
  ['out of sync on a live store: it recovers', '1S* 2O 3S', '', ['v1: 1S* 2R 3S']],
  ['out of sync on a dead store: it waits', '1S* 2O 3S', '2dead', []],
  ['the disk of a secondary failed', '1S* 2S', '2bad', ['v1: 1S* 2O']],
  ['the disk of the primary failed', '1S* 2S', '1bad', ['v1: 1O 2S*']],
  ['the disk of the last one failed: it stays', '1S* 2O', '1bad', []],
  ['just started, nobody known: nothing happens', '1S* 2S', '1unknown 2unknown', []],
  ['just started, a returned secondary: wait for word of the primary', '1S* 2S', '1unknown 2returned', []],
  ['just started, a returned primary: wait for word of the secondary', '1S* 2S', '1returned 2unknown', []],
  ['one died while another has missed a heartbeat: wait what becomes of that one', '1S* 2S 3S', '1dead 2quiet', []],
  ['it died too: one decision for both', '1S* 2S 3S', '1dead 2dead', ['v1: 1O 2O 3S*']],
  ['a quiet store that is out of sync holds nothing up', '1S* 2S 3O', '1dead 3quiet', ['v1: 1O 2S* 3O']],
  ['no recovery from a primary that has missed a heartbeat', '1S* 2O', '1quiet', []],
  ['just started: a store out of sync may start to recover', '1S* 2O', '1live 2live', ['v1: 1S* 2R']],
  ['just started: no recovery from a primary nobody has heard of', '1S* 2O', '1unknown', []],
];

for (const [name, shard, liveness, expected] of CASES) {
  test(name, () => assert.equal(plan([shard], liveness), expected));
}

test('primaries of a dead store spread over the ones that are left', () => {
  const changes = plan(['1S* 2S 3S', '1S* 2S 3S', '1S* 2S 3S', '1S* 2S 3S'], '1dead');
  assert.equal(changes, ['v1: 1O 2S* 3S', 'v2: 1O 2S 3S*', 'v3: 1O 2S* 3S', 'v4: 1O 2S 3S*']);
});

test('a new primary is chosen where there are the fewest already', () => {
  assert.equal(plan(['1S* 2S 3S', '2S* 3S', '2S* 3S'], '1dead'), ['v1: 1O 2S 3S*']);
});

test('a store takes part in at most four recoveries at a time, shards with fewer copies first', () => {
  const changes = plan(['1S* 2O 3S', '1S* 2O 3S', '1S* 2O', '1S* 2O', '1S* 2O'], '');
  assert.equal(changes, ['v1: 1S* 2R 3S', 'v3: 1S* 2R', 'v4: 1S* 2R', 'v5: 1S* 2R']);
});

test('the limit holds for targets as for sources', () => {
  const changes = plan(['1S* 9O', '2S* 9O', '3S* 9O', '4S* 9O', '5S* 9O'], '');
  assert.equal(changes, ['v1: 1S* 9R', 'v2: 2S* 9R', 'v3: 3S* 9R', 'v4: 4S* 9R']);
});

test('recoveries under way count, and one that ends makes room', () => {
  const running = ['1S* 2R', '1S* 2R', '1S* 2R', '1S* 2R', '1S* 2O'];
  assert.equal(plan(running, ''), []);
  assert.equal(plan(['1S* 2R', '1S* 2R', '1S* 2R', '1S* 3R', '1S* 2O'], '3dead'), ['v4: 1S* 3O', 'v5: 1S* 2R']);
});

test('a replica that failed a moment ago rests', () => {
  assert.equal(plan(['1S* 2O 3O'], '', [2]), ['v1: 1S* 2O 3R']);
  assert.equal(plan(['1S* 2R'], '2returned', [2]), ['v1: 1S* 2O', 'acknowledge 2']);
});

test('a store that must wait in one shard waits in all of them', () => {
  // Store 2 returned. In v1 its fate depends on store 1, not heard of yet; v2 could go on, but an incarnation is acknowledged as a whole.
  assert.equal(plan(['1S* 2S', '3S* 2S', '3S* 4S'], '1unknown 2returned 4dead'), ['v3: 3S* 4O']);
});

test('waiting spreads: shards of a waiting store make their other returned stores wait', () => {
  assert.equal(plan(['1S* 2S', '2S* 3S', '3S* 4S'], '1unknown 2returned 3returned'), []);
});

test('any storm of deaths and returns leaves every shard with an in-sync primary and raises meta versions by one', () => {
  let seed = 12345;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % below;
  };
  let state = withShards(stateWithStores(5), ['1S* 2S 3S', '2S* 3S 4S', '3S* 4S', '5S*', '5S* 1S', '4S* 5S 2S']);
  const words = ['live', 'live', 'dead', 'returned', 'unknown', 'bad', 'quiet'];
  for (let round = 0; round < 3000; round += 1) {
    const liveness = [1, 2, 3, 4, 5].map((store) => `${store}${words[random(words.length)]!}`).join(' ');
    const planned = planShards({ ...inputOf(state, liveness), returnedFacts: (storeId) => storeFacts(storeId, `round${round}`) });
    if (planned !== null) {
      const applied = apply(state, { kind: 'reconfigure', ...planned });
      assert.ok(applied.outcome.isAccepted, `round ${round}, ${liveness}: ${JSON.stringify(applied.outcome)}`);
      state = applied.state;
    }
    for (const volume of state.volumes.values()) {
      const shard = volume.shards[0]!;
      assert.is(shard.replicas[shard.primary]!.status, 'IN_SYNC');
      const recovering = shard.replicas.findIndex((replica) => replica.status === 'RECOVERING');
      if (recovering < 0 || random(4) > 0) continue;
      const applied = apply(state, {
        kind: 'finish_recovery',
        volumeId: volume.id,
        shardIndex: 0,
        replicaIndex: recovering,
        metaVersion: shard.metaVersion,
      });
      state = applied.state;
      assert.is(state.volumes.get(volume.id)!.shards[0]!.metaVersion, shard.metaVersion + 1);
    }
  }
});

test.run();
