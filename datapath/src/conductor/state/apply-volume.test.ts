// The reducer about volumes: growing, attaching, letting go, and what older logs and snapshots mean.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { diskUuidOf, stateWithStores } from '../testing/plan-notation.ts';
import { apply } from './apply.ts';
import { isLatestOpening, writerOf } from './attachments.ts';
import { decodeState, encodeState, type ClusterState, type VolumeRecord } from './cluster-state.ts';
import { decodeCommand, encodeCommand, type Command, type Placement } from './commands.ts';

const GiB = 1024 ** 3;
const ID = 66 * 2 ** 24;
const ON_1_AND_2: Placement = {
  primary: 0,
  replicas: [
    { storeId: 1, diskUuid: diskUuidOf(1) },
    { storeId: 2, diskUuid: diskUuidOf(2) },
  ],
};
const ON_3_AND_1: Placement = {
  primary: 1,
  replicas: [
    { storeId: 3, diskUuid: diskUuidOf(3) },
    { storeId: 1, diskUuid: diskUuidOf(1) },
  ],
};

function accept(state: ClusterState, command: Command): ClusterState {
  const applied = apply(state, command);
  assert.ok(applied.outcome.isAccepted, JSON.stringify(applied.outcome));
  return applied.state;
}

/** "CODE: reason"; a refusal leaves the state as it was. */
function refusal(state: ClusterState, command: Command): string {
  const { outcome, state: after } = apply(state, command);
  assert.is(after, state, 'a refused command changes nothing');
  return outcome.isAccepted ? 'accepted' : `${outcome.code}: ${outcome.reason}`;
}

/** Three stores and the volume "data" with shards of 64 GiB on stores 1 and 2. */
function withVolume(sizeBytes: number): ClusterState {
  const shards = Array.from({ length: Math.ceil(sizeBytes / (64 * GiB)) }, () => ON_1_AND_2);
  const shape = { sizeBytes, shardSizeBytes: 64 * GiB, replicaCount: 2 };
  return accept(stateWithStores(3), { kind: 'create_volume', name: 'data', ...shape, token: 99, requestId: '', shards });
}

const volumeOf = (state: ClusterState): VolumeRecord => state.volumes.get(ID)!;
const metaVersions = (state: ClusterState): number[] => volumeOf(state).shards.map((shard) => shard.metaVersion);
const grow = (fromSizeBytes: number, sizeBytes: number, ...shards: Placement[]): Command => ({
  kind: 'resize_volume',
  volumeId: ID,
  fromSizeBytes,
  sizeBytes,
  shards,
});

test('a volume grows inside its last shard: that shard alone gets a new meta version', () => {
  const state = accept(withVolume(65 * GiB), grow(65 * GiB, 66 * GiB));
  assert.is(volumeOf(state).sizeBytes, 66 * GiB);
  assert.equal(metaVersions(state), [1, 2]);
  assert.equal(volumeOf(state).shards[1]!.replicas, volumeOf(withVolume(65 * GiB)).shards[1]!.replicas);
});

test('a volume grows into further shards: a full last shard stays as it is, the new ones are fresh', () => {
  const state = accept(withVolume(64 * GiB), grow(64 * GiB, 129 * GiB, ON_3_AND_1, ON_1_AND_2));
  assert.equal(metaVersions(state), [1, 1, 1]);
  assert.equal(volumeOf(state).shards[1], {
    metaVersion: 1,
    primary: 1,
    replicas: [
      { storeId: 3, diskUuid: diskUuidOf(3), status: 'IN_SYNC' },
      { storeId: 1, diskUuid: diskUuidOf(1), status: 'IN_SYNC' },
    ],
  });
});

test('a growth over the end of the last shard does both', () => {
  const state = accept(withVolume(GiB), grow(GiB, 65 * GiB, ON_3_AND_1));
  assert.equal(metaVersions(state), [2, 1]);
});

test('a growth keeps what a shard has become meanwhile: its primary and who is in sync', () => {
  const changes = [{ volumeId: ID, shardIndex: 0, metaVersion: 1, primary: 1, statuses: ['OUT_OF_SYNC', 'IN_SYNC'] as const }];
  const degraded = accept(withVolume(GiB), { kind: 'reconfigure', stores: [], changes });
  const [shard] = volumeOf(accept(degraded, grow(GiB, 2 * GiB))).shards;
  assert.equal(
    [shard!.metaVersion, shard!.primary, ...shard!.replicas.map((each) => each.status)],
    [3, 1, 'OUT_OF_SYNC', 'IN_SYNC'],
  );
});

test('growths that do not fit are refused', () => {
  const state = withVolume(2 * GiB);
  assert.is(
    refusal(state, grow(2 * GiB, GiB)),
    'INVALID_ARGUMENT: cannot shrink volume "data" from 2147483648 to 1073741824 bytes',
  );
  assert.match(refusal(state, grow(2 * GiB, 2 * GiB)), /^INVALID_ARGUMENT: cannot shrink/);
  assert.is(
    refusal(state, grow(GiB, 3 * GiB)),
    'INVALID_STATE: volume "data" has 2147483648 bytes, the growth was planned from 1073741824',
  );
  assert.match(refusal(state, grow(2 * GiB, 3 * GiB + 512)), /a multiple of 4096 wanted/);
  assert.match(refusal(state, grow(2 * GiB, 65 * GiB)), /has 2 shards, but 1 are placed/);
  assert.match(refusal(state, grow(2 * GiB, 3 * GiB, ON_1_AND_2)), /has 1 shards, but 2 are placed/);
  const one = { ...ON_1_AND_2, replicas: ON_1_AND_2.replicas.slice(0, 1) };
  assert.match(refusal(state, grow(2 * GiB, 65 * GiB, one)), /shard 1 has 1 replicas placed, 2 wanted/);
  assert.match(refusal(state, { ...grow(2 * GiB, 3 * GiB), volumeId: 5 } as Command), /^NOT_FOUND/);
  const small = {
    kind: 'create_volume',
    name: 'small',
    sizeBytes: GiB,
    shardSizeBytes: 64 * 1024 ** 2,
    replicaCount: 2,
  } as const;
  const many = accept(state, { ...small, token: 1, requestId: '', shards: Array.from({ length: 16 }, () => ON_1_AND_2) });
  const tooMany = { ...grow(GiB, 257 * GiB), volumeId: 67 * 2 ** 24 } as Command;
  assert.match(refusal(many, tooMany), /would have 4112 shards: at most 4096 are possible/);
});

const open = (client: string): Command => ({ kind: 'raise_epoch', volumeId: ID, client });
const release = (attachEpoch: number): Command => ({ kind: 'release_volume', volumeId: ID, attachEpoch });
const attachment = (state: ClusterState): readonly [string | null, number] => [
  writerOf(volumeOf(state)),
  volumeOf(state).attachEpoch,
];

test('an open for writing is remembered until the same epoch is released', () => {
  const fresh = withVolume(GiB);
  assert.equal(attachment(fresh), [null, 0]);
  const first = accept(fresh, open('node1'));
  assert.equal(attachment(first), ['node1', 1]);
  const second = accept(first, open('node2'));
  assert.equal(attachment(second), ['node2', 2]);
  assert.match(refusal(second, release(1)), /^INVALID_STATE: volume "data" has attach epoch 2, not 1/);
  assert.equal(attachment(accept(second, release(2))), [null, 2]);
});

test('a detachment raises the epoch only while the one that it is taken from has the volume', () => {
  const held = accept(withVolume(GiB), open('node1'));
  const taken = accept(held, { kind: 'raise_epoch', volumeId: ID, takenFrom: 'node1' });
  assert.equal(attachment(taken), ['node1', 2], 'it is still recorded: nobody knows yet whether the old writer is fenced');
  assert.equal(attachment(accept(taken, release(2))), [null, 2]);
  const late: Command = { kind: 'raise_epoch', volumeId: ID, takenFrom: 'node0' };
  assert.match(refusal(held, late), /^INVALID_STATE: volume "data" is attached to "node1", not to "node0" any more/);
  assert.match(refusal(withVolume(GiB), late), /is attached to nobody/);
});

const putNode = (name: string, version = '1.0.0'): Command => ({ kind: 'put_node', node: { name, version } });
const known = (...names: string[]): ClusterState => names.reduce((state, name) => accept(state, putNode(name)), withVolume(GiB));
const attach = (client: string, isReadOnly = false): Command => ({ kind: 'attach_volume', volumeId: ID, client, isReadOnly });
const resume = (number: number, client = 'node1'): Command => ({ kind: 'raise_epoch', volumeId: ID, client, attachment: number });
/** "client number mode" of each attachment, and the epoch. */
const attachments = (state: ClusterState): string => {
  const { attachEpoch, attachments: all } = volumeOf(state);
  return `${all.map((each) => `${each.client} ${each.number} ${each.isReadOnly ? 'reads' : 'writes'}`).join(', ')} at ${attachEpoch}`;
};

test('who attaches gets a number, the same one when asked again, and takes nothing away', () => {
  const first = accept(known('node1', 'node2'), attach('node1'));
  assert.is(attachments(first), 'node1 1 writes at 1');
  const again = apply(first, attach('node1'));
  assert.is(again.state, first);
  assert.equal(again.outcome, { isAccepted: true, value: 1 });
  assert.is(
    refusal(first, attach('node2')),
    'INVALID_STATE: cannot attach volume "data" to "node2" for writing: "node1" has it for writing; detach it there first',
  );
  const read = accept(first, attach('node2', true));
  assert.is(attachments(read), 'node1 1 writes, node2 2 reads at 1');
  assert.match(refusal(read, attach('node2')), /"node2" for writing: it has it for reading; detach it there first/);
  assert.match(refusal(read, attach('node1', true)), /"node1" for reading: it has it for writing/);
  const alone = accept(read, { kind: 'release_reader', volumeId: ID, client: 'node2' });
  assert.is(attachments(alone), 'node1 1 writes at 1');
  assert.is(attachments(accept(alone, { kind: 'release_reader', volumeId: ID, client: 'node1' })), 'node1 1 writes at 1');
});

test('an attachment opens the volume as often as it likes, and never again once it is over', () => {
  const attached = accept(known('node1', 'node2'), attach('node1'));
  const opened = accept(accept(attached, resume(1)), resume(1));
  assert.is(attachments(opened), 'node1 1 writes at 3', 'each opening fences the one before');
  const over = accept(opened, release(3));
  const reason = 'FENCED: attachment 1 of volume "data" to "node1" is over, or never was; attach it again';
  assert.is(refusal(over, resume(1)), reason);
  const back = accept(over, attach('node1'));
  assert.is(attachments(back), 'node1 2 writes at 4');
  assert.is(refusal(back, resume(1)), reason, 'the same node, but somebody may have written in between');
  assert.is(refusal(accept(back, open('node1')), resume(2)), reason.replace('1', '2'), 'taken by an opening of the same name');
  assert.match(refusal(back, resume(2, 'node2')), /^FENCED/, 'somebody else with the right number');
  const read = accept(known('node1', 'node2'), attach('node1', true));
  assert.match(refusal(read, resume(1)), /^FENCED/, 'a reader does not write');
});

test('an attachment that is being taken away opens nothing, and stays on the list until it is released', () => {
  const attached = accept(known('node1', 'node2'), attach('node1'));
  const ending = accept(attached, { kind: 'raise_epoch', volumeId: ID, takenFrom: 'node1' });
  assert.is(attachments(ending), 'node1 1 writes at 2');
  assert.match(refusal(ending, resume(1)), /^FENCED/);
  assert.match(refusal(ending, attach('node1')), /^INVALID_STATE: .*it is being detached there; wait for that/);
  assert.match(refusal(ending, attach('node2')), /"node1" has it/);
  assert.equal(decodeState(encodeState(ending)), ending);
  assert.is(attachments(accept(accept(ending, release(2)), attach('node2'))), 'node2 2 writes at 3');
});

const share = (client: string): Command => ({ kind: 'attach_volume', volumeId: ID, client, isReadOnly: false, isShared: true });
const shared = (...nodes: string[]): ClusterState =>
  nodes.reduce((state, node) => accept(state, share(node)), known(...nodes, 'node9'));

test('several write when each of them shares; nobody writes alone beside them', () => {
  const both = shared('node1', 'node2');
  assert.is(attachments(both), 'node1 1 writes, node2 2 writes at 1', 'beside others nobody has to be fenced');
  assert.is(apply(both, share('node2')).state, both);
  const alone =
    'INVALID_STATE: cannot attach volume "data" to "node9" for writing: "node1" has it for shared writing; detach it there first';
  assert.is(refusal(both, attach('node9')), alone);
  assert.match(refusal(both, attach('node2')), /"node2" for writing: it has it for shared writing; detach it there first/);
  assert.match(
    refusal(accept(known('node1', 'node2'), attach('node1')), share('node2')),
    /shared writing: "node1" has it for writing;/,
  );
  assert.match(
    refusal(both, { ...share('node9'), isReadOnly: true } as Command),
    /^INVALID_ARGUMENT: .*shares it with everybody anyway/,
  );
  assert.is(attachments(accept(both, attach('node9', true))), 'node1 1 writes, node2 2 writes, node9 3 reads at 1');
  assert.equal(decodeState(encodeState(accept(both, resume(1)))), accept(both, resume(1)));
});

test('an opening of a shared attachment is named by its epoch, until the same node opens again', () => {
  const first = accept(shared('node1', 'node2'), resume(1));
  const second = accept(first, resume(2, 'node2'));
  assert.is(attachments(second), 'node1 1 writes, node2 2 writes at 3');
  const isLatest = (state: ClusterState, number: number, opening: number): boolean =>
    isLatestOpening(volumeOf(state), number, opening);
  assert.equal([isLatest(second, 1, 2), isLatest(second, 2, 3)], [true, true], 'the one is no end of the other');
  assert.equal([isLatest(second, 1, 3), isLatest(second, 2, 2), isLatest(second, 7, 2)], [false, false, false]);
  const third = accept(second, resume(1));
  assert.equal([isLatest(third, 1, 2), isLatest(third, 1, 4), isLatest(third, 2, 3)], [false, true, true]);
  const alone = accept(accept(known('node1'), attach('node1')), resume(1));
  assert.is(isLatest(alone, 1, 2), false, 'who writes alone has the epoch itself');
});

test('one of several is taken away, and ends alone', () => {
  const both = accept(accept(shared('node1', 'node2'), resume(1)), resume(2, 'node2'));
  const take: Command = { kind: 'raise_epoch', volumeId: ID, takenFrom: 'node1', attachment: 1 };
  assert.match(refusal(both, { ...take, attachment: 2 } as Command), /is attached to "node1", "node2", not to "node1" any more/);
  const ending = accept(both, take);
  assert.match(refusal(ending, resume(1)), /^FENCED/);
  assert.is(isLatestOpening(volumeOf(both), 1, 2), true);
  assert.is(isLatestOpening(volumeOf(ending), 1, 2), false, 'it follows the epoch no further');
  assert.is(attachments(accept(ending, resume(2, 'node2'))), 'node1 1 writes, node2 2 writes at 5');
  assert.is(attachments(accept(ending, share('node9'))), 'node1 1 writes, node2 2 writes, node9 3 writes at 4');
  assert.is(
    attachments(accept(ending, release(4))),
    'node1 1 writes, node2 2 writes at 4',
    'an epoch says nothing of those who follow it',
  );
  const end = (attachment: number): Command => ({ kind: 'end_attachment', volumeId: ID, attachment });
  assert.match(refusal(ending, end(2)), /^INVALID_STATE: attachment 2 of volume "data" is not ending/);
  const ended = accept(ending, end(1));
  assert.is(attachments(ended), 'node2 2 writes at 4');
  assert.match(refusal(ended, end(1)), /is not ending/);
  assert.is(attachments(accept(both, open('node9'))), 'node9 3 writes at 4', 'who takes the volume takes it from all of them');
});

test('a volume of a name that was deleted gives numbers that none had before', () => {
  const attached = accept(known('node1'), attach('node1'));
  const gone = accept(accept(attached, release(1)), { kind: 'delete_volume', volumeId: ID });
  const shape = { sizeBytes: GiB, shardSizeBytes: 64 * GiB, replicaCount: 2, token: 9, requestId: '', shards: [ON_1_AND_2] };
  const again = accept(gone, { kind: 'create_volume', name: 'data', ...shape });
  const id = again.volumeIdByName.get('data')!;
  const { outcome } = apply(again, { kind: 'attach_volume', volumeId: id, client: 'node1', isReadOnly: false });
  assert.equal(outcome, { isAccepted: true, value: 2 });
});

test('an opening takes the volume from an attachment, and leaves readers alone', () => {
  const held = accept(accept(known('node1', 'node2'), attach('node1')), attach('node2', true));
  assert.is(attachments(accept(held, open('node3'))), 'node2 2 reads, node3 3 writes at 2');
  assert.is(attachments(accept(held, open('node2'))), 'node2 3 writes at 2', 'the reader itself');
});

test('a volume that is only read is not deleted either', () => {
  const read = accept(known('node1', 'node2'), attach('node2', true));
  assert.match(refusal(read, { kind: 'delete_volume', volumeId: ID }), /"node2" has it attached for reading; close it there/);
});

test('only nodes that are known attach; one that has a volume stays known', () => {
  const fresh = withVolume(GiB);
  assert.is(
    refusal(fresh, attach('node9')),
    'NOT_FOUND: cannot attach volume "data" to "node9" for writing: no such node is known; start pfnbd there, or look at list_node',
  );
  const nodes = known('node1');
  assert.is(apply(nodes, putNode('node1')).state, nodes, 'nothing new');
  const newer = accept(nodes, putNode('node1', '1.1.0'));
  assert.equal([...newer.nodes.values()], [{ name: 'node1', version: '1.1.0' }]);
  const held = accept(nodes, attach('node1'));
  const remove: Command = { kind: 'remove_node', name: 'node1' };
  assert.is(
    refusal(held, remove),
    'INVALID_STATE: cannot remove node "node1": it has volume "data" attached; detach it with detach_volume first',
  );
  const gone = accept(accept(held, release(1)), remove);
  assert.is(gone.nodes.size, 0);
  assert.match(refusal(gone, remove), /^NOT_FOUND: node "node1" is not known/);
  assert.equal(decodeState(encodeState(held)), held);
});

test('an attached volume is deleted only with force', () => {
  const held = accept(withVolume(GiB), open('node1'));
  assert.is(
    refusal(held, { kind: 'delete_volume', volumeId: ID }),
    'INVALID_STATE: cannot delete volume "data": "node1" has it attached for writing; close it there, take it away with detach_volume, or delete it with force',
  );
  assert.is(accept(held, { kind: 'delete_volume', volumeId: ID, force: true }).volumes.size, 0);
  assert.is(accept(accept(held, release(1)), { kind: 'delete_volume', volumeId: ID }).volumes.size, 0);
});

const decode = (text: string): Command => decodeCommand(new TextEncoder().encode(text));

test('records of the first version are read, and leave nobody attached', () => {
  const raise = decode(`{"version":1,"kind":"raise_epoch","volumeId":${ID}}`);
  const remove = decode(`{"version":1,"kind":"delete_volume","volumeId":${ID}}`);
  assert.equal(raise, { kind: 'raise_epoch', volumeId: ID });
  assert.equal(remove, { kind: 'delete_volume', volumeId: ID });
  const raised = accept(withVolume(GiB), raise);
  assert.equal(attachment(raised), [null, 1]);
  assert.is(accept(raised, remove).volumes.size, 0);
});

test('a snapshot of the first version is read: nobody is attached', () => {
  const volume =
    `{"id":${ID},"name":"data","sizeBytes":4096,"shardSizeBytes":67108864,"replicaCount":1,"attachEpoch":7,"token":9,"requestId":"",` +
    `"shards":[{"metaVersion":3,"primary":0,"replicas":[{"storeId":1,"diskUuid":"${diskUuidOf(1)}","status":"IN_SYNC"}]}]}`;
  const text = `{"format":1,"cluster":null,"nextStoreId":2,"nextVolumeSequence":67,"stores":[],"volumes":[${volume}],"deletions":[]}`;
  const state = decodeState(new TextEncoder().encode(text));
  assert.equal(attachment(state), [null, 7]);
  const held = accept(state, open('node1'));
  assert.equal(decodeState(encodeState(held)), held);
});

test('a snapshot that says who writes, and no more, is read: that is its first attachment', () => {
  const volume =
    `{"id":${ID},"name":"data","sizeBytes":4096,"shardSizeBytes":67108864,"replicaCount":1,"attachEpoch":7,"attachedTo":"node1","token":9,` +
    `"requestId":"","shards":[{"metaVersion":3,"primary":0,"replicas":[{"storeId":1,"diskUuid":"${diskUuidOf(1)}","status":"IN_SYNC"}]}]}`;
  const text = `{"format":1,"cluster":null,"nextStoreId":2,"nextVolumeSequence":67,"stores":[],"volumes":[${volume}],"deletions":[]}`;
  const state = decodeState(new TextEncoder().encode(text));
  assert.is(attachments(state), 'node1 1 writes at 7');
  assert.not.ok('attachedTo' in volumeOf(state));
  assert.is(attachments(accept(accept(accept(state, release(7)), putNode('node2')), attach('node2'))), 'node2 2 writes at 8');
});

test('the new commands survive encoding, with and without what is optional', () => {
  const commands: readonly Command[] = [
    grow(GiB, 65 * GiB, ON_3_AND_1),
    open('node-1.example:a/b_c'),
    { kind: 'raise_epoch', volumeId: ID, takenFrom: 'node1' },
    release(3),
    putNode('node1'),
    { kind: 'remove_node', name: 'node1' },
    attach('node1', true),
    resume(2),
    { kind: 'release_reader', volumeId: ID, client: 'node1' },
    { kind: 'delete_volume', volumeId: ID, force: true },
  ];
  for (const command of commands) assert.equal(decodeCommand(encodeCommand(command)), command);
  assert.throws(
    () => decode(`{"version":1,"kind":"raise_epoch","volumeId":1,"client":"two words"}`),
    /no command of this version/,
  );
  assert.throws(
    () => decode(`{"version":1,"kind":"resize_volume","volumeId":1,"sizeBytes":4096,"shards":[]}`),
    /no command of this version/,
  );
});

test.run();
