// States and liveness written as short text, for the tests of plans and of the reducer.
//   shard     "1S* 2S 3R"     store 1 in sync and primary, store 2 in sync, store 3 recovering; O is out of sync
//   liveness  "1live 2dead 3returned 4unknown"; "2bad": live, but its disk has failed; "2quiet": live, but a heartbeat is
//             overdue; stores not named are live
import { assert } from '../../base/assert.ts';
import type { ReplicaStatus } from '../../api/model.ts';
import {
  EMPTY_STATE,
  type ClusterState,
  type ShardRecord,
  type StoreFacts,
  type StoreRecord,
  type VolumeRecord,
} from '../state/cluster-state.ts';
import type { ShardChange } from '../state/commands.ts';
import type { Liveness, LivenessView } from '../plan/liveness.ts';

const STATUS_OF: Readonly<Record<string, ReplicaStatus>> = { S: 'IN_SYNC', R: 'RECOVERING', O: 'OUT_OF_SYNC' };
const LETTER_OF: Readonly<Record<ReplicaStatus, string>> = { IN_SYNC: 'S', RECOVERING: 'R', OUT_OF_SYNC: 'O' };
export const CAPACITY = 1024 ** 4;

export const diskUuidOf = (storeId: number): string => `00000000-0000-4000-8000-${String(storeId).padStart(12, '0')}`;

export function storeFacts(storeId: number, incarnation = 'a', host = `host${storeId}`): StoreFacts {
  return {
    uuid: `10000000-0000-4000-8000-${String(storeId).padStart(12, '0')}`,
    incarnation,
    host,
    dataAddress: `${host}:49162`,
    replicationAddress: null,
    httpAddress: `${host}:49181`,
    version: '1',
    disks: [{ uuid: diskUuidOf(storeId), device: '/dev/a', status: 'OK', rawCapacity: CAPACITY, objectSize: 64 * 1024 ** 2 }],
  };
}

/** `hosts`: by store id; "host<id>" where it says nothing. */
export function stateWithStores(count: number, hosts: Readonly<Record<number, string>> = {}): ClusterState {
  const stores: StoreRecord[] = [];
  for (let id = 1; id <= count; id += 1) stores.push({ ...storeFacts(id, 'a', hosts[id] ?? `host${id}`), id });
  return {
    ...EMPTY_STATE,
    cluster: { uuid: '20000000-0000-4000-8000-000000000000', name: 'test', token: 7 },
    nextStoreId: count + 1,
    stores: new Map(stores.map((store) => [store.id, store])),
    storeIdByUuid: new Map(stores.map((store) => [store.uuid, store.id])),
  };
}

export function parseShard(text: string): ShardRecord {
  let primary = -1;
  const replicas = text.split(' ').map((word, index) => {
    const match = /^(\d+)([SRO])(\*?)$/.exec(word);
    assert(match !== null, `cannot read replica "${word}"`);
    if (match[3] === '*') primary = index;
    return { storeId: Number(match[1]), diskUuid: diskUuidOf(Number(match[1])), status: STATUS_OF[match[2]!]! };
  });
  assert(primary >= 0, `shard "${text}" names no primary`);
  return { metaVersion: 5, primary, replicas };
}

/** One volume of one shard for each text; ids 1, 2, 3, ... times 2^24. */
export function withShards(state: ClusterState, shards: readonly string[]): ClusterState {
  const volumes = new Map(state.volumes);
  const volumeIdByName = new Map(state.volumeIdByName);
  for (const [index, text] of shards.entries()) {
    const id = (index + 1) * 2 ** 24;
    const shard = parseShard(text);
    const volume: VolumeRecord = {
      id,
      name: `v${index + 1}`,
      sizeBytes: 1024 ** 3,
      shardSizeBytes: 64 * 1024 ** 3,
      replicaCount: shard.replicas.length,
      attachEpoch: 1,
      attachments: [],
      token: 9,
      requestId: '',
      shards: [shard],
    };
    volumes.set(id, volume);
    volumeIdByName.set(volume.name, id);
  }
  return { ...state, volumes, volumeIdByName, nextVolumeSequence: 1000 };
}

export function parseLiveness(text: string): LivenessView {
  const liveness = new Map<number, Liveness>();
  const badDisks = new Set<number>();
  const quiet = new Set<number>();
  for (const word of text.split(' ').filter((each) => each !== '')) {
    const match = /^(\d+)(live|dead|returned|unknown|bad|quiet)$/.exec(word);
    assert(match !== null, `cannot read liveness "${word}"`);
    if (match[2] === 'bad') badDisks.add(Number(match[1]));
    else if (match[2] === 'quiet') quiet.add(Number(match[1]));
    else liveness.set(Number(match[1]), match[2]!.toUpperCase() as Liveness);
  }
  return {
    livenessOf: (storeId) => liveness.get(storeId) ?? 'LIVE',
    isQuiet: (storeId) => quiet.has(storeId),
    isDiskUsable: (storeId) => !badDisks.has(storeId),
    freeBytes: () => CAPACITY,
  };
}

/** A planned change in the notation of shards: "v1: 1O 2S* 3S". */
export function formatChange(state: ClusterState, change: ShardChange): string {
  const volume = state.volumes.get(change.volumeId)!;
  const replicas = volume.shards[change.shardIndex]!.replicas.map((replica, index) => {
    return `${replica.storeId}${LETTER_OF[change.statuses[index]!]}${index === change.primary ? '*' : ''}`;
  });
  return `${volume.name}: ${replicas.join(' ')}`;
}
