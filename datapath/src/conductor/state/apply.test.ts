// The reducer: what it accepts, what it refuses, and that nothing it is fed breaks it.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PfError } from '../../base/errors.ts';
import { diskUuidOf, stateWithStores, storeFacts, withShards } from '../testing/plan-notation.ts';
import { apply } from './apply.ts';
import { EMPTY_STATE, decodeState, encodeState, type ClusterState } from './cluster-state.ts';
import { decodeCommand, encodeCommand, parseCommand, type Command } from './commands.ts';

const V1 = 2 ** 24;
const GiB = 1024 ** 3;

function accept(state: ClusterState, command: Command): { state: ClusterState; value: number } {
  const applied = apply(state, command);
  assert.ok(applied.outcome.isAccepted, JSON.stringify(applied.outcome));
  return { state: applied.state, value: applied.outcome.isAccepted ? applied.outcome.value : -1 };
}

/** "CODE: reason"; a refusal leaves the state as it was. */
function refusal(state: ClusterState, command: Command): string {
  const { outcome, state: after } = apply(state, command);
  assert.is(after, state, 'a refused command changes nothing');
  return outcome.isAccepted ? 'accepted' : `${outcome.code}: ${outcome.reason}`;
}

const create = (more: Partial<Extract<Command, { kind: 'create_volume' }>> = {}): Command => ({
  kind: 'create_volume',
  name: 'data',
  sizeBytes: GiB,
  shardSizeBytes: 64 * GiB,
  replicaCount: 2,
  token: 99,
  requestId: 'r1',
  shards: [
    {
      primary: 1,
      replicas: [
        { storeId: 1, diskUuid: diskUuidOf(1) },
        { storeId: 2, diskUuid: diskUuidOf(2) },
      ],
    },
  ],
  ...more,
});

test('a cluster is created once', () => {
  const command: Command = { kind: 'create_cluster', uuid: '20000000-0000-4000-8000-000000000000', name: 'one', token: 5 };
  const { state } = accept(EMPTY_STATE, command);
  assert.equal(state.cluster, { uuid: '20000000-0000-4000-8000-000000000000', name: 'one', token: 5 });
  assert.match(refusal(state, command), /^ALREADY_EXISTS/);
});

test('stores get ids in the order in which they come, and keep them', () => {
  const first = accept(EMPTY_STATE, { kind: 'put_store', store: storeFacts(7) });
  const second = accept(first.state, { kind: 'put_store', store: storeFacts(3) });
  const again = accept(second.state, { kind: 'put_store', store: { ...storeFacts(7), version: '2' } });
  assert.equal([first.value, second.value, again.value], [1, 2, 1]);
  assert.is(again.state.stores.get(1)!.version, '2');
  assert.match(
    refusal(second.state, { kind: 'put_store', store: storeFacts(7, 'b') }),
    /^INVALID_STATE: store 1 has a new incarnation or address/,
  );
  assert.match(
    refusal(second.state, { kind: 'put_store', store: { ...storeFacts(7), replicationAddress: '10.2.0.7:49162' } }),
    /^INVALID_STATE: store 1 has a new incarnation or address/,
  );
});

test('what was recorded before stores had a network of their own is read as it was meant', () => {
  const { replicationAddress: _none, ...store } = storeFacts(7);
  const command = parseCommand({ version: 1, kind: 'put_store', store });
  assert.equal(command, { kind: 'put_store', store: storeFacts(7) });
  // A snapshot, too: otherwise every store that runs would count as another process as soon as the conductor is upgraded.
  const state = accept(stateWithStores(0), command).state;
  const text = new TextDecoder().decode(encodeState(state));
  assert.match(text, ',"replicationAddress":null');
  const old = new TextEncoder().encode(text.replace(',"replicationAddress":null', ''));
  assert.equal(decodeState(old), state);
});

test('a new volume has the first id, epoch 0, meta version 1 and all replicas in sync', () => {
  const { state, value } = accept(stateWithStores(2), create());
  assert.is(value, 66 * 2 ** 24);
  assert.is(value, 1107296256);
  assert.equal(state.volumes.get(value), {
    id: 1107296256,
    name: 'data',
    sizeBytes: GiB,
    shardSizeBytes: 64 * GiB,
    replicaCount: 2,
    attachEpoch: 0,
    attachments: [],
    token: 99,
    requestId: 'r1',
    shards: [
      {
        metaVersion: 1,
        primary: 1,
        replicas: [
          { storeId: 1, diskUuid: diskUuidOf(1), status: 'IN_SYNC' },
          { storeId: 2, diskUuid: diskUuidOf(2), status: 'IN_SYNC' },
        ],
      },
    ],
  });
  assert.match(refusal(state, create()), /^ALREADY_EXISTS: volume "data" exists/);
  assert.is(accept(state, create({ name: 'next' })).value, 67 * 2 ** 24);
});

const BAD_CREATIONS: readonly (readonly [string, Partial<Extract<Command, { kind: 'create_volume' }>>, RegExp])[] = [
  ['a size that is no multiple of 4096', { sizeBytes: GiB + 512 }, /a multiple of 4096 wanted/],
  ['a shard size that is no multiple of 64 MiB', { shardSizeBytes: 100 * 1024 ** 2 }, /a multiple of 67108864 wanted/],
  ['fewer placements than shards', { sizeBytes: 65 * GiB }, /has 2 shards, but 1 are placed/],
  ['too many shards', { sizeBytes: 1024 * GiB, shardSizeBytes: 64 * 1024 ** 2 }, /would have 16384 shards: at most 4096/],
  ['a replica short', { replicaCount: 3 }, /has 2 replicas placed, 3 wanted/],
  [
    'a primary that is no replica',
    {
      shards: [
        {
          primary: 2,
          replicas: [
            { storeId: 1, diskUuid: diskUuidOf(1) },
            { storeId: 2, diskUuid: diskUuidOf(2) },
          ],
        },
      ],
    },
    /no replica 2/,
  ],
  [
    'two replicas on one store',
    {
      shards: [
        {
          primary: 0,
          replicas: [
            { storeId: 1, diskUuid: diskUuidOf(1) },
            { storeId: 1, diskUuid: diskUuidOf(1) },
          ],
        },
      ],
    },
    /two replicas on one store/,
  ],
  [
    'a disk nobody has',
    {
      shards: [
        {
          primary: 0,
          replicas: [
            { storeId: 1, diskUuid: diskUuidOf(1) },
            { storeId: 2, diskUuid: diskUuidOf(9) },
          ],
        },
      ],
    },
    /does not exist/,
  ],
];

for (const [name, more, reason] of BAD_CREATIONS) {
  test(`a creation with ${name} is refused`, () => assert.match(refusal(stateWithStores(2), create(more)), reason));
}

const changeOf = (more: object): Command => ({
  kind: 'reconfigure',
  stores: [],
  changes: [{ volumeId: V1, shardIndex: 0, metaVersion: 5, primary: 0, statuses: ['IN_SYNC', 'OUT_OF_SYNC'], ...more }],
});

test('a reconfiguration raises the meta version by one', () => {
  const { state } = accept(withShards(stateWithStores(2), ['1S* 2S']), changeOf({}));
  const shard = state.volumes.get(V1)!.shards[0]!;
  assert.is(shard.metaVersion, 6);
  assert.equal(
    shard.replicas.map((replica) => replica.status),
    ['IN_SYNC', 'OUT_OF_SYNC'],
  );
});

test('a reconfiguration that would endanger data is refused', () => {
  const state = withShards(stateWithStores(3), ['1S* 2O', '1S* 2R']);
  const statuses = ['IN_SYNC', 'IN_SYNC'];
  assert.match(refusal(state, changeOf({ statuses })), /replica 1 is OUT_OF_SYNC: only its recovery can make it IN_SYNC/);
  assert.match(refusal(state, changeOf({ volumeId: 2 * V1, statuses })), /replica 1 is RECOVERING: only its recovery/);
  assert.match(refusal(state, changeOf({ statuses: ['OUT_OF_SYNC', 'OUT_OF_SYNC'] })), /would lose its last in-sync replica/);
  assert.match(
    refusal(state, changeOf({ statuses: ['OUT_OF_SYNC', 'RECOVERING'], primary: 1 })),
    /would lose its last in-sync replica/,
  );
  assert.match(refusal(state, changeOf({ primary: 1 })), /cannot have replica 1 as primary: it is not in sync/);
  assert.match(refusal(state, changeOf({ primary: 2 })), /cannot have replica 2 as primary/);
  assert.match(refusal(state, changeOf({ metaVersion: 4 })), /has meta version 5, the change was made for 4/);
  assert.match(refusal(state, changeOf({ metaVersion: 6 })), /has meta version 5, the change was made for 6/);
  assert.match(refusal(state, changeOf({ statuses: ['IN_SYNC'] })), /has 2 replicas, the change names 1/);
  assert.match(refusal(state, changeOf({ shardIndex: 1 })), /^NOT_FOUND/);
});

test('of several changes all happen or none', () => {
  const state = withShards(stateWithStores(3), ['1S* 2S', '1S* 2S']);
  const good = { volumeId: V1, shardIndex: 0, metaVersion: 5, primary: 0, statuses: ['IN_SYNC', 'OUT_OF_SYNC'] } as const;
  assert.match(
    refusal(state, { kind: 'reconfigure', stores: [], changes: [good, { ...good, volumeId: 2 * V1, metaVersion: 9 }] }),
    /^INVALID_STATE/,
  );
  assert.match(
    refusal(state, { kind: 'reconfigure', stores: [], changes: [good, good] }),
    /has meta version 6, the change was made for 5/,
  );
});

test('a new incarnation is accepted only together with the shards that count on its store', () => {
  const state = withShards(stateWithStores(2), ['1S* 2S', '1S* 2O']);
  const back = storeFacts(2, 'b');
  assert.match(
    refusal(state, { kind: 'reconfigure', stores: [back], changes: [] }),
    /shard 0 of volume "v1" counts on a store that has a new incarnation/,
  );
  const after = accept(state, {
    kind: 'reconfigure',
    stores: [back],
    changes: [{ volumeId: V1, shardIndex: 0, metaVersion: 5, primary: 0, statuses: ['IN_SYNC', 'RECOVERING'] }],
  });
  assert.is(after.state.stores.get(2)!.incarnation, 'b');
  assert.match(refusal(state, { kind: 'reconfigure', stores: [storeFacts(9)], changes: [] }), /^NOT_FOUND/);
});

test('only a recovery under the current meta version makes a replica in sync', () => {
  const state = withShards(stateWithStores(3), ['1S* 2R 3O']);
  const done = (more: object): Command => ({
    kind: 'finish_recovery',
    volumeId: V1,
    shardIndex: 0,
    replicaIndex: 1,
    metaVersion: 5,
    ...more,
  });
  const { state: after } = accept(state, done({}));
  assert.is(after.volumes.get(V1)!.shards[0]!.metaVersion, 6);
  assert.is(after.volumes.get(V1)!.shards[0]!.replicas[1]!.status, 'IN_SYNC');
  assert.match(refusal(after, done({})), /has meta version 6, not 5/);
  assert.match(refusal(after, done({ metaVersion: 6 })), /is IN_SYNC, not RECOVERING/);
  assert.match(refusal(state, done({ metaVersion: 4 })), /has meta version 5, not 4/);
  assert.match(refusal(state, done({ replicaIndex: 2 })), /is OUT_OF_SYNC, not RECOVERING/);
  assert.match(refusal(state, done({ replicaIndex: 3 })), /^NOT_FOUND/);
});

test('every open for writing raises the epoch by one', () => {
  const state = withShards(stateWithStores(2), ['1S* 2S']);
  const once = accept(state, { kind: 'raise_epoch', volumeId: V1 });
  const twice = accept(once.state, { kind: 'raise_epoch', volumeId: V1 });
  assert.equal([once.value, twice.value], [2, 3]);
  assert.is(twice.state.volumes.get(V1)!.shards[0]!.metaVersion, 5, 'the configuration stays');
  assert.match(refusal(state, { kind: 'raise_epoch', volumeId: 99 }), /^NOT_FOUND/);
});

test('a deleted volume frees its name at once and is remembered until every store has confirmed', () => {
  const created = accept(stateWithStores(2), create());
  const deleted = accept(created.state, { kind: 'delete_volume', volumeId: created.value });
  assert.is(deleted.state.volumes.size, 0);
  assert.equal([...deleted.state.deletions.values()], [{ volumeId: 1107296256, name: 'data', storeIds: [1, 2] }]);
  const second = accept(deleted.state, create());
  assert.is(second.value, 67 * 2 ** 24, 'the id is never used again');
  const third = accept(accept(second.state, { kind: 'delete_volume', volumeId: second.value }).state, create());
  assert.is(third.value, 68 * 2 ** 24);
  const one = accept(deleted.state, { kind: 'finish_deletion', volumeId: created.value, storeId: 2 });
  assert.match(refusal(one.state, { kind: 'finish_deletion', volumeId: created.value, storeId: 2 }), /^NOT_FOUND/);
  const none = accept(one.state, { kind: 'finish_deletion', volumeId: created.value, storeId: 1 });
  assert.is(none.state.deletions.size, 0);
  assert.match(refusal(none.state, { kind: 'delete_volume', volumeId: created.value }), /^NOT_FOUND/);
});

test('a state survives encoding, and equal states have equal bytes whatever their history', () => {
  const { state } = accept(withShards(stateWithStores(3), ['1S* 2R 3O', '2S* 3S']), create());
  const bytes = encodeState(state);
  assert.equal(decodeState(bytes), state);
  assert.equal(encodeState(decodeState(bytes)), bytes);
  assert.equal(encodeState({ ...state, stores: new Map([...state.stores].reverse()) }), bytes);
});

const EVERY_KIND: readonly Command[] = [
  { kind: 'create_cluster', uuid: '20000000-0000-4000-8000-000000000000', name: 'one', token: 5 },
  { kind: 'put_store', store: storeFacts(1) },
  {
    kind: 'reconfigure',
    stores: [storeFacts(1, 'b')],
    changes: [{ volumeId: V1, shardIndex: 0, metaVersion: 5, primary: 0, statuses: ['IN_SYNC', 'RECOVERING'] }],
  },
  { kind: 'finish_recovery', volumeId: V1, shardIndex: 0, replicaIndex: 1, metaVersion: 5 },
  create(),
  { kind: 'resize_volume', volumeId: V1, fromSizeBytes: GiB, sizeBytes: 2 * GiB, shards: [] },
  { kind: 'raise_epoch', volumeId: V1, client: 'node1' },
  { kind: 'release_volume', volumeId: V1, attachEpoch: 1 },
  { kind: 'delete_volume', volumeId: V1, force: true },
  { kind: 'finish_deletion', volumeId: V1, storeId: 2 },
];

test('every kind of command survives encoding', () => {
  for (const command of EVERY_KIND) assert.equal(decodeCommand(encodeCommand(command)), command);
});

test('garbage is refused with PfError or as an outcome, never with a crash', () => {
  let seed = 7;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % below;
  };
  const junk: readonly unknown[] = [null, -1, 2 ** 53, 'x', [], {}, [null], true, 0.5, { kind: 'x' }];
  const base = withShards(stateWithStores(3), ['1S* 2R 3O']);
  let applied = 0;
  for (let round = 0; round < 20_000; round += 1) {
    const value = JSON.parse(JSON.stringify({ version: 1, ...EVERY_KIND[random(EVERY_KIND.length)]! })) as Record<
      string,
      unknown
    >;
    for (let times = random(3); times > 0; times -= 1) scribble(value, random, junk);
    let command: Command;
    try {
      command = parseCommand(value);
    } catch (error) {
      assert.instance(error, PfError);
      continue;
    }
    const { state, outcome } = apply(base, command);
    if (!outcome.isAccepted) assert.is(state, base);
    applied += 1;
  }
  assert.ok(applied > 1000 && applied < 19_000, `${applied} of 20000 were well formed`);
  assert.throws(() => decodeCommand(new Uint8Array([1, 2, 3])), /is no command of this version/);
  assert.is(apply(base, { kind: 'nonsense' } as unknown as Command).outcome.isAccepted, false);
});

/** Replaces or removes one value somewhere inside. */
function scribble(value: Record<string, unknown>, random: (below: number) => number, junk: readonly unknown[]): void {
  let holder = value;
  for (;;) {
    const keys = Object.keys(holder);
    if (keys.length === 0) return;
    const key = keys[random(keys.length)]!;
    const inner = holder[key];
    if (typeof inner === 'object' && inner !== null && random(3) > 0) {
      holder = inner as Record<string, unknown>;
      continue;
    }
    if (random(4) === 0) delete holder[key];
    else holder[key] = structuredClone(junk[random(junk.length)]);
    return;
  }
}

test.run();
