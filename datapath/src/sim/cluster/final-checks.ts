// What must hold at the end of every run, once all is healed and every replica is in sync: everything reads back as the history
// explains, replicas hold the same blocks with the same checksums, disks account for all their space, and programs close quietly.
import { StoreClient } from '../../api/store-client.ts';
import type { ExtentStamp } from '../../api/extent-list.ts';
import { KiB, MiB } from '../../base/sizes.ts';
import { DiskStore } from '../../store/disk/disk-store.ts';
import { checkQuiet } from '../checkers/quiet.ts';
import { Violation } from '../checkers/violation.ts';
import type { ClusterNode, Daemon } from './cluster-node.ts';
import type { LoadClient } from './load-client.ts';
import { DISK_PATH, type SimCluster } from './sim-cluster.ts';
import type { VolumeUnderLoad } from './volume-under-load.ts';

const EXTENT_BYTES = 64 * KiB;
const READ_BYTES = 256 * KiB;
/** Neighbours of what was touched are read too. */
const MARGIN_EXTENTS = 1;
/** A replica that could not be recovered several times rests up to a minute. */
const SETTLE_MS = 120_000;
const SETTLE_EVENTS_MAX = 5_000_000;
const LATE_MS = 2_000;
const INSPECTOR_MEMORY_BYTES = 8 * MiB;

/** Ends the load and waits until every request is answered and every replica is in sync. The cluster must have been healed. */
export async function settle(cluster: SimCluster, volumes: readonly VolumeUnderLoad[]): Promise<void> {
  const clients = volumes.flatMap((volume) => volume.livingClients);
  for (const client of clients) client.stop();
  const areIdle = (): boolean => clients.every((client) => client.inFlight === 0 && client.device !== null);
  await cluster.sim.run(areIdle, { withinMs: SETTLE_MS, maxEvents: SETTLE_EVENTS_MAX });
  await cluster.allInSync(
    volumes.map((volume) => volume.shape.name),
    SETTLE_MS,
  );
}

/** All of the below. The cluster is closed afterwards. */
export async function checkEverything(cluster: SimCluster, volumes: readonly VolumeUnderLoad[]): Promise<void> {
  for (const volume of volumes) {
    const auditor = await volume.opened('auditor', true);
    if (auditor.device!.sizeBytes < volume.sizeBytes)
      throw new Violation(
        `${volume.shape.name} has ${auditor.device!.sizeBytes} bytes, although it was resized to ${volume.sizeBytes}`,
      );
    await auditor.process.perform(() => readBack(auditor));
  }
  for (const client of volumes.flatMap((volume) => volume.livingClients)) {
    await client.process.perform(() => client.close(), SETTLE_MS);
    checkQuiet(client.process);
  }
  // A write that a client never saw answered may still be under way between two stores.
  await cluster.sim.run(cluster.sim.now + LATE_MS);
  for (const volume of volumes) await checkReplicasAgree(cluster, volume.shape.name);
  await closeQuietly(cluster);
  await checkSpace(cluster);
}

/** Reads everything that was ever changed, and its neighbours, through this client. */
export async function readBack(client: LoadClient): Promise<void> {
  const { sizeBytes } = client.device!;
  const extents = new Set<number>();
  for (const extent of client.options.touched) {
    for (let near = extent - MARGIN_EXTENTS; near <= extent + MARGIN_EXTENTS; near += 1) {
      if (near >= 0 && near * EXTENT_BYTES < sizeBytes) extents.add(near);
    }
  }
  const sorted = [...extents].sort((left, right) => left - right);
  for (let at = 0; at < sorted.length; ) {
    const first = sorted[at]!;
    let count = 1;
    while (sorted[at + count] === first + count && (count + 1) * EXTENT_BYTES <= READ_BYTES) count += 1;
    at += count;
    const offset = first * EXTENT_BYTES;
    await client.read(offset, Math.min(count * EXTENT_BYTES, sizeBytes - offset));
  }
}

/** Every replica of every shard lists the same written blocks with the same checksums. */
export async function checkReplicasAgree(cluster: SimCluster, volumeName: string): Promise<void> {
  const volume = await cluster.getVolume(volumeName);
  for (const shard of volume.shards) {
    const lists: ExtentStamp[][] = [];
    for (const replica of shard.replicas) lists.push(await listAll(cluster, replica.http_address, volume.volume_id, shard.index));
    lists.forEach((list, index) => {
      const difference = firstDifference(lists[0]!, list);
      if (difference === null) return;
      throw new Violation(
        `replicas 0 and ${index} of shard ${shard.index} of ${volumeName} differ although both are in sync: ${difference}`,
      );
    });
  }
}

/**
 * Opens every disk once more, as after a restart, and checks its books: no extent lost, owned twice or counted wrong. The daemons
 * must have been closed.
 */
export async function checkSpace(cluster: SimCluster): Promise<void> {
  for (const { host } of cluster.stores) {
    const inspector = host.startProcess('inspector', async () => undefined, { memoryBytes: INSPECTOR_MEMORY_BYTES });
    await inspector.perform(async (world) => {
      const disk = await world.disks.open(DISK_PATH, {});
      const store = await DiskStore.open(world, disk);
      const { usedExtents } = store.checkInvariants();
      const owned = store.volumes().reduce((sum, volumeId) => sum + store.usedBytes(volumeId), 0) / EXTENT_BYTES;
      if (owned !== usedExtents)
        throw new Violation(`${usedExtents} extents are in use on ${host.name}, but volumes own ${owned}`);
      await store.close();
      await disk.close();
    });
  }
}

/** Closes the daemons, stores first, and looks at what they leave. */
export async function closeQuietly(cluster: SimCluster): Promise<void> {
  for (const node of [...cluster.stores, cluster.conductor] as ClusterNode<Daemon>[]) {
    await node.process!.perform(() => node.app!.close(), 30_000);
  }
  await cluster.sim.run(cluster.sim.now + 500);
  for (const node of [...cluster.stores, cluster.conductor]) checkQuiet(node.process!);
}

async function listAll(cluster: SimCluster, address: string, volumeId: number, shardIndex: number): Promise<ExtentStamp[]> {
  return cluster.ask(async (world) => {
    const client = new StoreClient(world, address);
    const extents: ExtentStamp[] = [];
    for (let next: number | null = 0; next !== null; ) {
      const list = await client.listExtents({ volume_id: volumeId, shard_index: shardIndex, from_object: next, above: 0 });
      extents.push(...list.extents.filter((extent) => extent.written !== 0));
      next = list.nextObject;
    }
    return extents;
  });
}

function firstDifference(left: readonly ExtentStamp[], right: readonly ExtentStamp[]): string | null {
  const tell = (extent: ExtentStamp | undefined): string =>
    extent === undefined
      ? 'nothing'
      : `extent ${extent.objectIndex}/${extent.extentIndex} written ${extent.written.toString(16)} stamp ${extent.generation}.${extent.sequence}`;
  for (let at = 0; at < Math.max(left.length, right.length); at += 1) {
    const [a, b] = [left[at], right[at]];
    const isSamePlace = a?.objectIndex === b?.objectIndex && a?.extentIndex === b?.extentIndex;
    if (!isSamePlace || a?.written !== b?.written) return `${tell(a)} against ${tell(b)}`;
    const block = a!.blockCrcs.findIndex((crc, index) => ((a!.written >>> index) & 1) !== 0 && crc !== b!.blockCrcs[index]);
    if (block >= 0) return `block ${block} of ${tell(a)} has another checksum than in ${tell(b)}`;
  }
  return null;
}
