// pfcli compare_replicas: every in-sync replica reads its copy from disk and answers a SHA-256 an object; they must agree.
// Meant for a volume that nobody writes to: a write between two digests shows as a difference.
import { PfError } from '../../base/errors.ts';
import { MiB } from '../../base/sizes.ts';
import { StoreClient } from '../../api/store-client.ts';
import type { GetVolumeReply, ReplicaConfig } from '../../api/model.ts';
import { formatTable } from '../../base/table.ts';
import { verb, VOLUME_FLAG, type ControlWorld } from './verb.ts';

const OBJECT_BYTES = 64 * MiB;
type VolumeLayout = GetVolumeReply['volume'];

export interface ReplicaComparison {
  readonly shard: number;
  readonly store_id: number;
  readonly status: string;
  readonly objects: number;
  readonly written_blocks: number;
  /** Objects in which this replica differs from the shard's primary. */
  readonly differing_objects: readonly number[];
}

export const compareReplicas = verb(
  {
    name: 'pfcli compare_replicas',
    summary: 'Read all replicas of a volume from their disks and compare them byte by byte (by SHA-256 of each 64 MiB object).',
    flags: {
      volume: VOLUME_FLAG,
      wait: { kind: 'integer', minimum: 0, default: 0, help: 'wait up to so many seconds until all replicas are in sync' },
    },
    examples: ['pfcli compare_replicas -v test_v1 --wait 60'],
  },
  async (context, flags) => {
    const layout = await waitForSync(context, flags.volume, flags.wait * 1000);
    const rows = await compare(context.world, layout);
    const differing = rows.reduce((sum, row) => sum + row.differing_objects.length, 0);
    const missing = rows.filter((row) => row.status !== 'IN_SYNC').length;
    const isEqual = differing === 0 && missing === 0;
    context.print({ volume_name: flags.volume, is_equal: isEqual, replicas: rows }, () =>
      [
        formatTable(
          ['Shard', 'Store ID', 'Status', 'Objects', 'Written blocks', 'Different objects'],
          rows.map((row) => [
            String(row.shard),
            String(row.store_id),
            row.status,
            String(row.objects),
            String(row.written_blocks),
            String(row.differing_objects.length),
          ]),
        ),
        isEqual ? 'all replicas are identical' : `${differing} objects differ, ${missing} replicas are not in sync`,
      ].join('\n'),
    );
    return isEqual ? 0 : 1;
  },
);

async function waitForSync(
  context: { world: ControlWorld; conductor: { getVolume(name: string): Promise<VolumeLayout> } },
  name: string,
  patienceMs: number,
): Promise<VolumeLayout> {
  const deadline = context.world.clock.now() + patienceMs;
  for (;;) {
    const layout = await context.conductor.getVolume(name);
    const isInSync = layout.shards.every((shard) => shard.replicas.every((replica) => replica.status === 'IN_SYNC'));
    if (isInSync || context.world.clock.now() >= deadline) return layout;
    await context.world.clock.sleep(100);
  }
}

async function compare(world: ControlWorld, layout: VolumeLayout): Promise<ReplicaComparison[]> {
  const rows: ReplicaComparison[] = [];
  for (const shard of layout.shards) {
    const first = (shard.index * layout.shard_size) / OBJECT_BYTES;
    const end = Math.ceil(Math.min((shard.index + 1) * layout.shard_size, layout.volume_size) / OBJECT_BYTES);
    const inSync = shard.replicas.filter((replica) => replica.status === 'IN_SYNC');
    const reference = inSync.find((replica) => replica.index === shard.primary_rep_index) ?? inSync[0];
    if (reference === undefined) {
      throw new PfError(
        'UNAVAILABLE',
        `cannot compare shard ${shard.index} of volume "${layout.volume_name}": no replica is in sync`,
      );
    }
    const digests = await Promise.all(
      inSync.map((replica) => digestsOf(world, layout.volume_id, shard.index, replica, first, end)),
    );
    const wanted = digests[inSync.indexOf(reference)]!;
    for (const replica of shard.replicas) {
      const own = digests[inSync.indexOf(replica)];
      rows.push({
        shard: shard.index,
        store_id: replica.store_id,
        status: replica.status,
        objects: own?.length ?? 0,
        written_blocks: own?.reduce((sum, digest) => sum + digest.written_blocks, 0) ?? 0,
        differing_objects: own?.flatMap((digest, i) => (digest.sha256 === wanted[i]!.sha256 ? [] : [first + i])) ?? [],
      });
    }
  }
  return rows;
}

async function digestsOf(
  world: ControlWorld,
  volumeId: number,
  shardIndex: number,
  replica: ReplicaConfig,
  firstObject: number,
  endObject: number,
): Promise<{ sha256: string; written_blocks: number }[]> {
  const client = new StoreClient(world, replica.http_address);
  const digests = [];
  for (let object = firstObject; object < endObject; object += 1) {
    digests.push(await client.digestReplica({ volume_id: volumeId, shard_index: shardIndex, object_index: object }));
  }
  return digests;
}
