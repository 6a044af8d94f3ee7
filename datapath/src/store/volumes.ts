// The volumes that are open on this store, as the conductor has prepared them. Nothing of this is on disk: after a restart the
// conductor pushes everything again.
// Invariants: an attach epoch only grows; a shard's configuration is taken by the shard itself (shard.offer), in its own time.
import { PfError } from '../base/errors.ts';
import { OBJECT_BYTES } from './disk/layout.ts';
import type { DiskStore } from './disk/disk-store.ts';
import type { PrepareVolumeReply, VolumeConfig } from '../api/model.ts';
import { STATUS_FENCED, STATUS_OK, STATUS_STALE } from '../wire/status.ts';
import { Shard, type ShardHost } from './shard.ts';

export class Volume {
  readonly id: number;
  readonly name: string;
  readonly shardBytes: number;
  sizeBytes: number;
  token: number;
  attachEpoch: number;
  isOpen = true;
  /** By shard index; null where this store has no replica. */
  readonly shards: (Shard | null)[] = [];

  constructor(config: VolumeConfig) {
    this.id = config.volume_id;
    this.name = config.volume_name;
    this.shardBytes = config.shard_size;
    this.sizeBytes = config.volume_size;
    this.token = config.token;
    this.attachEpoch = config.attach_epoch;
  }

  shardAt(offset: number): Shard | null {
    if (offset < 0 || offset >= this.sizeBytes) return null;
    return this.shards[Math.floor(offset / this.shardBytes)] ?? null;
  }

  /** STATUS_OK when the request's epoch is the one that this store holds. */
  epochRefusal(epoch: number): number {
    if (epoch === this.attachEpoch) return STATUS_OK;
    return epoch < this.attachEpoch ? STATUS_FENCED : STATUS_STALE;
  }
}

export class Volumes {
  readonly #host: ShardHost;
  readonly #disks: readonly DiskStore[];
  readonly #volumes = new Map<number, Volume>();
  #lastId = -1;
  #last: Volume | null = null;

  constructor(host: ShardHost, disks: readonly DiskStore[]) {
    this.#host = host;
    this.#disks = disks;
  }

  get all(): Iterable<Volume> {
    return this.#volumes.values();
  }

  find(volumeId: number): Volume | null {
    if (volumeId === this.#lastId) return this.#last;
    this.#lastId = volumeId;
    this.#last = this.#volumes.get(volumeId) ?? null;
    return this.#last;
  }

  *shards(): Iterable<Shard> {
    for (const volume of this.#volumes.values()) for (const shard of volume.shards) if (shard) yield shard;
  }

  /** Opens the volume, or takes over what is newer in `config`. Errors: INVALID_ARGUMENT, NOT_FOUND (none of its disks is here). */
  apply(config: VolumeConfig): Volume {
    const volume = this.#volumes.get(config.volume_id) ?? this.#open(config);
    if (volume.shardBytes !== config.shard_size) {
      throw new PfError(
        'INVALID_ARGUMENT',
        `cannot prepare volume "${config.volume_name}": its shards have ${volume.shardBytes} bytes here, ${config.shard_size} are given; a shard size never changes`,
      );
    }
    volume.sizeBytes = Math.max(volume.sizeBytes, config.volume_size);
    volume.token = config.token;
    volume.attachEpoch = Math.max(volume.attachEpoch, config.attach_epoch);
    let missing = '';
    for (const shardConfig of config.shards) {
      const own = shardConfig.replicas.find((replica) => replica.store_id === this.#host.storeId);
      let shard = volume.shards[shardConfig.index] ?? null;
      if (shard === null) {
        if (own === undefined) continue;
        const disk = this.#diskOf(own.disk_uuid);
        if (disk === null) {
          missing = own.disk_uuid;
          continue;
        }
        while (volume.shards.length <= shardConfig.index) volume.shards.push(null);
        shard = new Shard(this.#host, volume, shardConfig.index, disk);
        volume.shards[shardConfig.index] = shard;
      }
      shard.offer(shardConfig);
    }
    if (missing !== '') this.#lackDisk(volume, missing);
    return volume;
  }

  /** What prepare_volume answers: the configurations that are held by now. */
  reply(config: VolumeConfig): PrepareVolumeReply {
    const volume = this.#volumes.get(config.volume_id);
    const accepted: { index: number; meta_ver: number }[] = [];
    for (const { index } of config.shards) {
      const shard = volume?.shards[index];
      if (shard && shard.role.metaVersion > 0) accepted.push({ index, meta_ver: shard.role.metaVersion });
    }
    return { op: 'prepare_volume_reply', ret_code: 0, accepted, attach_epoch: volume?.attachEpoch ?? 0 };
  }

  /** True when no configuration of the volume waits for a promise to run out. */
  isSettled(volumeId: number): boolean {
    return this.#volumes.get(volumeId)?.shards.every((shard) => shard === null || !shard.role.isClosing) ?? true;
  }

  /** Forgets the volume; its data is the caller's business. */
  remove(volumeId: number): Volume | null {
    const volume = this.#volumes.get(volumeId) ?? null;
    if (volume === null) return null;
    this.#volumes.delete(volumeId);
    this.#lastId = -1;
    volume.isOpen = false;
    for (const shard of volume.shards) shard?.drop();
    volume.shards.length = 0;
    return volume;
  }

  #open(config: VolumeConfig): Volume {
    if (config.shard_size % OBJECT_BYTES !== 0) {
      throw new PfError(
        'INVALID_ARGUMENT',
        `cannot prepare volume "${config.volume_name}": a shard size of ${config.shard_size} is no multiple of ${OBJECT_BYTES}`,
      );
    }
    const volume = new Volume(config);
    this.#volumes.set(volume.id, volume);
    this.#lastId = -1;
    return volume;
  }

  #diskOf(uuid: string): DiskStore | null {
    return this.#disks.find((each) => each.diskUuid === uuid) ?? null;
  }

  /** Replicas on a disk that is gone are out of service; those on the other disks are not. */
  #lackDisk(volume: Volume, uuid: string): void {
    const why = `cannot prepare volume "${volume.name}": this store has no disk ${uuid}; was it unplugged?`;
    if (volume.shards.every((shard) => !shard)) throw new PfError('NOT_FOUND', why);
    this.#host.world.log.warn(why);
  }
}
