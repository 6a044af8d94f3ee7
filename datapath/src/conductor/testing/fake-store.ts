// A store as the conductor sees it: heartbeats, takes configurations, frees volumes. Runs as a process of any World; the tests
// look into it and tell it how to misbehave. It asserts what every store may rely on: meta versions and epochs never go back.
import { assert } from '../../base/assert.ts';
import { PfError } from '../../base/errors.ts';
import { ConductorClient } from '../../api/conductor-client.ts';
import type { DiskReport, HeartbeatRequest, PrepareVolumeReply, PrepareVolumeRequest, VolumeConfig } from '../../api/model.ts';
import { createRouter, type Handlers } from '../../api/router.ts';
import { STORE_ROUTES } from '../../api/routes.ts';
import type { World } from '../../world/world.ts';

export interface FakeStoreOptions {
  /** 1 to 999; decides the UUIDs. */
  readonly number: number;
  readonly host: string;
  readonly address: string;
  /** Where it tells other stores to come; null: where clients come. Default null. */
  readonly replicationAddress?: string | null;
  readonly conductor: string;
}

const HEARTBEAT_MS = 600;
const GiB = 1024 ** 3;

export class FakeStore {
  readonly incarnation: string;
  /** Volume id -> what it holds. */
  readonly held = new Map<number, VolumeConfig>();
  /** "prepare v1 epoch 1 meta 5", "delete 123", in the order of arrival. */
  readonly calls: string[] = [];
  readonly deleted: number[] = [];
  storeId = 0;
  heartbeatErrors: string[] = [];
  /** The next so many calls fail. */
  failCalls = 0;
  /** Configurations are answered, but not taken, as while a promise to another primary runs. */
  isHoldingBack = false;
  diskStatus: 'OK' | 'ERROR' = 'OK';
  /** As the next heartbeat tells it. */
  replicationAddress: string | null;
  readonly #world: World;
  readonly #options: FakeStoreOptions;
  readonly client: ConductorClient;

  private constructor(world: World, options: FakeStoreOptions) {
    this.#world = world;
    this.#options = options;
    this.incarnation = world.random.uuid();
    this.replicationAddress = options.replicationAddress ?? null;
    this.client = new ConductorClient(world, [options.conductor]);
  }

  static async start(world: World, options: FakeStoreOptions): Promise<FakeStore> {
    const store = new FakeStore(world, options);
    const handlers: Handlers<typeof STORE_ROUTES> = {
      prepare_volume: (_params, body) => store.#prepare(body),
      delete_volume: (_params, body) => store.#delete(body.volume_id),
      list_extents: () => Promise.reject(new PfError('UNSUPPORTED', 'not a real store')),
      digest_replica: () => Promise.reject(new PfError('UNSUPPORTED', 'not a real store')),
      get_status: () => Promise.reject(new PfError('UNSUPPORTED', 'not a real store')),
    };
    await world.http.serve(
      '0.0.0.0',
      49181,
      createRouter(STORE_ROUTES, handlers, () => undefined),
    );
    world.clock.every(HEARTBEAT_MS, () => void store.beat());
    await store.beat();
    return store;
  }

  get diskUuid(): string {
    return `00000000-0000-4000-8000-${String(this.#options.number).padStart(12, '0')}`;
  }

  async beat(more: Partial<HeartbeatRequest> = {}): Promise<void> {
    try {
      this.storeId = (await this.client.heartbeat({ ...this.#heartbeat(), ...more })).store_id;
    } catch (error) {
      this.heartbeatErrors.push((error as Error).message);
    }
  }

  report(replicaId: number, metaVersion: number) {
    return { store_id: this.storeId, incarnation: this.incarnation, rep_id: replicaId, meta_ver: metaVersion };
  }

  #heartbeat(): HeartbeatRequest {
    const { number, host, address } = this.#options;
    const disk: DiskReport = {
      uuid: this.diskUuid,
      device: `/dev/disk${number}`,
      status: this.diskStatus,
      raw_capacity: 1024 * GiB,
      // Changes all the time, as on a real disk.
      free: 1000 * GiB - this.#world.random.below(GiB),
      object_size: 64 * 1024 ** 2,
    };
    return {
      op: 'heartbeat',
      report: 0,
      store_uuid: `10000000-0000-4000-8000-${String(number).padStart(12, '0')}`,
      incarnation: this.incarnation,
      host,
      data_address: `${address}:49162`,
      replication_address: this.replicationAddress,
      http_address: `${address}:49181`,
      disks: [disk],
      version: 'fake',
    };
  }

  #prepare(request: PrepareVolumeRequest): PrepareVolumeReply {
    const { volume } = request;
    this.calls.push(
      `prepare ${volume.volume_name} epoch ${volume.attach_epoch} meta ${volume.shards.map((shard) => shard.meta_ver).join(',')}`,
    );
    this.#failIfTold();
    assert(
      request.store_id === this.storeId || this.storeId === 0,
      `store ${this.storeId} was told what is meant for store ${request.store_id}`,
    );
    const held = this.held.get(volume.volume_id);
    if (!this.isHoldingBack && isNotOlder(held, volume)) this.held.set(volume.volume_id, volume);
    const now = this.held.get(volume.volume_id);
    return {
      op: 'prepare_volume_reply',
      ret_code: 0,
      accepted: now?.shards.map((shard) => ({ index: shard.index, meta_ver: shard.meta_ver })) ?? [],
      attach_epoch: now?.attach_epoch ?? 0,
    };
  }

  #delete(volumeId: number) {
    this.calls.push(`delete ${volumeId}`);
    this.#failIfTold();
    this.held.delete(volumeId);
    this.deleted.push(volumeId);
    return { op: 'delete_volume_reply', ret_code: 0 };
  }

  #failIfTold(): void {
    if (this.failCalls === 0) return;
    this.failCalls -= 1;
    throw new PfError('IO_ERROR', 'told to fail');
  }
}

/** A late copy of an older push may arrive after a newer one: it is answered, not taken. */
function isNotOlder(held: VolumeConfig | undefined, volume: VolumeConfig): boolean {
  if (held === undefined) return true;
  return (
    volume.attach_epoch >= held.attach_epoch &&
    volume.shards.every((shard) => shard.meta_ver >= (held.shards.find((each) => each.index === shard.index)?.meta_ver ?? 0))
  );
}
