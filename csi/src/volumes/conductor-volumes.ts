// The cluster behind the controller: volumes as a conductor knows them.
import type { AttachmentInfo, ConductorClient, VolumeInfo } from '@pureflash/datapath/api';
import { errorCodeOf } from '@pureflash/datapath/base';
import type { Clock } from '@pureflash/datapath/world';
import type { ClusterVolume, FreeSpace, ServiceCall, VolumeAttachment, VolumeService, VolumeShape } from './volume-service.ts';

export class ConductorVolumes implements VolumeService {
  readonly #client: ConductorClient;
  readonly #clock: Clock;

  constructor(client: ConductorClient, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
  }

  async create(name: string, shape: VolumeShape, call: ServiceCall): Promise<ClusterVolume> {
    return volumeOf(await this.#client.createVolume(name, { ...shape, ...this.#limits(call) }));
  }

  async delete(name: string, call: ServiceCall): Promise<void> {
    await this.#client.deleteVolume(name, this.#limits(call));
  }

  async find(name: string, call: ServiceCall): Promise<ClusterVolume | null> {
    try {
      const volume = await this.#client.getVolume(name, this.#limits(call));
      return {
        name,
        sizeBytes: volume.volume_size,
        replicaCount: volume.rep_count,
        health: volume.status,
        attachments: volume.attachments.map(attachmentOf),
      };
    } catch (error) {
      if (errorCodeOf(error) === 'NOT_FOUND') return null;
      throw error;
    }
  }

  async list(call: ServiceCall): Promise<readonly ClusterVolume[]> {
    const volumes = await this.#client.listVolume(this.#limits(call));
    return volumes.map(volumeOf).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async attach(name: string, { node, isReadOnly, isShared }: VolumeAttachment, call: ServiceCall): Promise<number> {
    return (await this.#client.attachVolume(name, { client: node, isReadOnly, isShared, ...this.#limits(call) })).attachment;
  }

  async detach(name: string, node: string | null, call: ServiceCall): Promise<void> {
    const nodes = node === null ? ((await this.find(name, call))?.attachments.map((each) => each.node) ?? []) : [node];
    for (const client of nodes) await this.#client.detachVolume(name, { client, ...this.#limits(call) });
  }

  async grow(name: string, sizeBytes: number, call: ServiceCall): Promise<number> {
    return (await this.#client.resizeVolume(name, sizeBytes, this.#limits(call))).size;
  }

  async freeSpace(call: ServiceCall): Promise<FreeSpace> {
    const limits = this.#limits(call);
    const [stores, disks] = await Promise.all([this.#client.listStore(limits), this.#client.listDisk(limits)]);
    const byDomain = new Map<string, number>();
    for (const store of stores) {
      if (store.status !== 'OK') continue;
      const own = disks.filter((disk) => disk.store_id === store.id && disk.status === 'OK');
      const free = own.reduce((sum, disk) => sum + disk.free, 0);
      byDomain.set(store.host, (byDomain.get(store.host) ?? 0) + free);
    }
    return { byDomain: [...byDomain.values()] };
  }

  async check(call: ServiceCall): Promise<void> {
    await this.#client.getCluster(this.#limits(call));
  }

  #limits({ signal, deadlineMs }: ServiceCall): { readonly signal: AbortSignal; readonly deadlineMs: number } {
    return { signal, deadlineMs: Math.max(1, deadlineMs - this.#clock.now()) };
  }
}

function volumeOf({ name, size, rep_count, status, attachments }: VolumeInfo): ClusterVolume {
  return { name, sizeBytes: size, replicaCount: rep_count, health: status, attachments: attachments.map(attachmentOf) };
}

function attachmentOf({ client, read_only, shared }: AttachmentInfo): VolumeAttachment {
  // A conductor of before shared attachments does not say.
  return { node: client, isReadOnly: read_only, isShared: shared === true };
}
