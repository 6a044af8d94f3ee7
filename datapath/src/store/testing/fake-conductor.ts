// A conductor for tests of stores: one volume, whose configuration the test writes by hand. Takes heartbeats and reports, changes
// nothing on its own but what a report asks for, and pushes only when told to.
import type { ReplicaStatus, ShardConfig, VolumeConfig, HandleErrorRequest, HeartbeatRequest } from '../../api/model.ts';
import { createRouter, type Handlers } from '../../api/router.ts';
import { CONDUCTOR_ROUTES } from '../../api/routes.ts';
import { StoreClient } from '../../api/store-client.ts';
import { PfError } from '../../base/errors.ts';
import { MiB } from '../../base/sizes.ts';
import type { World } from '../../world/world.ts';

export const VOLUME_ID = 66 * 2 ** 24;
export const VOLUME_TOKEN = 0x1f_2e3d_4c5b_6a79;
export const CLUSTER_TOKEN = 0x0a_0b0c_0d0e_0f01;
export const CONDUCTOR_PORT = 49180;

export class FakeConductor {
  readonly world: World;
  /** Last heartbeat by store id: index + 1 in the order of hosts. */
  readonly stores = new Map<number, HeartbeatRequest>();
  readonly errors: HandleErrorRequest[] = [];
  readonly recovered: number[] = [];
  /** Store ids, in the order of arrival. */
  readonly fullHeartbeats: number[] = [];
  readonly shortHeartbeats: number[] = [];
  readonly #hosts: readonly string[];
  /** Refuses reports, as one without a leader. */
  isDeaf = false;
  /** Takes no short heartbeats, as one that was just started. */
  isForgetful = false;
  /** Knows no short heartbeats. */
  isOld = false;
  /** One shard, unless a test wants more: all shards have the same replica statuses. */
  volumeBytes = 128 * MiB;
  shardBytes = 128 * MiB;
  /** Called before a recovery is answered. */
  onRecovered = (): void => {};
  attachEpoch = 1;
  metaVersion = 0;
  primary = 0;
  /** By replica index; replica i lies on store i + 1. */
  statuses: ReplicaStatus[] = [];

  constructor(world: World, hosts: readonly string[]) {
    this.world = world;
    this.#hosts = hosts;
  }

  async serve(): Promise<void> {
    const refuse = (): never => {
      throw new PfError('UNSUPPORTED', 'not a real conductor');
    };
    const handlers: Handlers<typeof CONDUCTOR_ROUTES> = {
      heartbeat: (_params, body) => {
        const id = this.#hosts.indexOf(body.host) + 1;
        this.stores.set(id, body);
        this.fullHeartbeats.push(id);
        return { op: 'heartbeat_reply', ret_code: 0, store_id: id, cluster_token: CLUSTER_TOKEN };
      },
      still_alive: ({ store_id }) => {
        if (this.isForgetful) throw new PfError('NOT_FOUND', 'never heard of');
        if (this.isOld) throw new PfError('UNSUPPORTED', 'unknown op "still_alive"');
        this.shortHeartbeats.push(store_id);
        return { op: 'still_alive_reply', ret_code: 0 };
      },
      handle_error: (_params, body) => {
        this.#checkHearing();
        this.errors.push(body);
        const isKnown = body.meta_ver === this.metaVersion;
        if (isKnown) this.change(() => (this.statuses[body.rep_id % 16] = 'OUT_OF_SYNC'));
        return { op: 'handle_error_reply', ret_code: isKnown ? 0 : 7, volume: this.volume() };
      },
      recovery_done: (_params, body) => {
        this.#checkHearing();
        if (body.meta_ver === this.metaVersion) {
          this.recovered.push(body.rep_id % 16);
          this.change(() => (this.statuses[body.rep_id % 16] = 'IN_SYNC'));
          this.onRecovered();
        }
        return { op: 'recovery_done_reply', ret_code: 0, volume: this.volume() };
      },
      create_volume: refuse,
      resize_volume: refuse,
      put_node: refuse,
      remove_node: refuse,
      list_node: refuse,
      attach_volume: refuse,
      open_volume: refuse,
      close_volume: refuse,
      detach_volume: refuse,
      delete_volume: refuse,
      list_volume: refuse,
      get_volume: refuse,
      get_volumes: refuse,
      check_volume_exists: refuse,
      list_store: refuse,
      list_disk: refuse,
      get_cluster: refuse,
    };
    await this.world.http.serve(
      '0.0.0.0',
      CONDUCTOR_PORT,
      createRouter(CONDUCTOR_ROUTES, handlers, () => undefined),
    );
  }

  /** Changes the configuration: one meta version further. */
  change(edit: () => void): void {
    edit();
    this.metaVersion += 1;
  }

  volume(): VolumeConfig {
    const shards: ShardConfig[] = [];
    for (let index = 0; index < Math.ceil(this.volumeBytes / this.shardBytes); index += 1) shards.push(this.#shard(index));
    return {
      volume_name: 'v1',
      volume_id: VOLUME_ID,
      volume_size: this.volumeBytes,
      shard_size: this.shardBytes,
      rep_count: this.statuses.length,
      attach_epoch: this.attachEpoch,
      token: VOLUME_TOKEN,
      status: 'OK',
      shards,
    };
  }

  /** Tells one store once; true when it holds everything now. */
  async push(storeId: number): Promise<boolean> {
    const store = this.stores.get(storeId);
    if (store === undefined) return false;
    const client = new StoreClient(this.world, store.http_address);
    const { metaVersion } = this;
    const reply = await client.prepareVolume({
      op: 'prepare_volume',
      volume: this.volume(),
      cluster_token: CLUSTER_TOKEN,
      store_id: storeId,
    });
    return reply.attach_epoch >= this.attachEpoch && reply.accepted.every((shard) => shard.meta_ver >= metaVersion);
  }

  /** Tells these stores until they hold the configuration, as the real one does. */
  async pushAll(storeIds: readonly number[]): Promise<void> {
    await Promise.all(
      storeIds.map(async (storeId) => {
        for (;;) {
          const isHeld = await this.push(storeId).catch(() => false);
          if (isHeld) return;
          await this.world.clock.sleep(30);
        }
      }),
    );
  }

  #shard(index: number): ShardConfig {
    return {
      index,
      meta_ver: this.metaVersion,
      primary_rep_index: this.primary,
      status: 'OK',
      replicas: this.statuses.map((status, replica) => {
        const store = this.stores.get(replica + 1)!;
        return {
          id: VOLUME_ID + index * 16 + replica,
          index: replica,
          store_id: replica + 1,
          disk_uuid: store.disks[0]!.uuid,
          status,
          address: store.replication_address ?? store.data_address,
          http_address: store.http_address,
        };
      }),
    };
  }

  #checkHearing(): void {
    if (this.isDeaf) throw new PfError('NOT_READY', 'no leader');
  }
}
