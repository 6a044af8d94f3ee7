// What the conductors of a cluster say of it: read over their HTTP API, the same on every platform.
import { ConductorClient } from '@pureflash/datapath/api';
import type { World } from '@pureflash/datapath/world';
import type { ControlView, StoreView } from '../plan/view.ts';

/** A reconcile waits for a conductor that does not answer no longer than this. */
const PATIENCE_MS = 2_000;
/** Names that a condition shows. */
const MAX_NAMES = 5;

/** `token`: of the cluster's APIs, where it has one. Null: nobody answers at these addresses. */
export async function readControl(
  world: Pick<World, 'http' | 'clock' | 'random'>,
  addresses: readonly string[],
  token: string | null = null,
): Promise<ControlView | null> {
  if (addresses.length === 0) return null;
  const client = new ConductorClient(world, addresses, { unreachableMs: PATIENCE_MS, ...(token === null ? {} : { token }) });
  const options = { deadlineMs: PATIENCE_MS };
  try {
    const [cluster, stores, disks, volumes] = await Promise.all([
      client.getCluster(options),
      client.listStore(options),
      client.listDisk(options),
      client.listVolume(options),
    ]);
    const degraded = volumes.filter((volume) => volume.status !== 'OK').map((volume) => volume.name);
    return {
      clusterUuid: cluster.cluster_uuid,
      version: cluster.version,
      stores: stores.map(
        (store): StoreView => ({
          id: store.id,
          uuid: store.store_uuid,
          domain: store.host,
          dataAddress: store.data_address,
          managementAddress: store.http_address,
          isOnline: store.status === 'OK',
          version: store.version,
          disks: disks
            .filter((disk) => disk.store_id === store.id)
            .map((disk) => ({
              uuid: disk.uuid,
              device: disk.device,
              isHealthy: disk.status === 'OK',
              capacity: disk.raw_capacity,
              free: disk.free,
            })),
        }),
      ),
      volumeCount: volumes.length,
      attachedCount: volumes.filter((volume) => volume.attachments.length > 0).length,
      degraded: degraded.slice(0, MAX_NAMES),
      degradedCount: degraded.length,
    };
  } catch {
    return null;
  }
}
