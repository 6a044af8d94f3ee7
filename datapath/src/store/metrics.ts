// A store's counters as Prometheus text. Names start with pfstore_; made anew for each request.
import type { Counters } from './counters.ts';
import type { DiskStore } from './disk/disk-store.ts';
import type { Shard } from './shard.ts';

export interface MetricSources {
  readonly counters: Counters;
  readonly disks: readonly DiskStore[];
  readonly shards: Iterable<Shard>;
  readonly operationsInFlight: number;
  readonly connections: number;
}

export function metricsText(sources: MetricSources): string {
  const { counters } = sources;
  const lines: string[] = [];
  const add = (name: string, value: number, labels = ''): void => void lines.push(`pfstore_${name}${labels} ${value}`);
  add('requests_total', counters.reads, '{operation="read"}');
  add('requests_total', counters.writes, '{operation="write"}');
  add('requests_total', counters.trims, '{operation="trim"}');
  add('requests_total', counters.flushes, '{operation="flush"}');
  add('bytes_total', counters.readBytes, '{operation="read"}');
  add('bytes_total', counters.writeBytes, '{operation="write"}');
  for (const [status, count] of counters.refused) add('refused_total', count, `{status="0x${status.toString(16)}"}`);
  add('replica_requests_total', counters.replicaWrites, '{operation="write"}');
  add('replica_requests_total', counters.replicaTrims, '{operation="trim"}');
  add('grants_given_total', counters.grantsGiven);
  add('grants_received_total', counters.grantsReceived);
  add('reads_parked_total', counters.readsParkedForGrants);
  add('promotions_total', counters.promotions);
  add('promoted_extents_total', counters.promotedExtents);
  add('recoveries_total', counters.recoveries);
  add('recovered_extents_total', counters.recoveredExtents);
  add('corrupt_reads_total', counters.corruptReads);
  add('healed_blocks_total', counters.healedBlocks);
  add('replicas_reported_total', counters.replicasReported);
  add('replica_out_of_space_total', counters.outOfSpaceOnReplica);
  for (const disk of sources.disks) {
    const labels = `{disk="${disk.diskUuid}"}`;
    add('disk_total_bytes', disk.totalBytes, labels);
    add('disk_free_bytes', disk.freeBytes, labels);
    add('disk_failed', disk.failure === null ? 0 : 1, labels);
    for (const [name, value] of Object.entries(disk.counters)) add(`disk_${snakeCase(name)}_total`, value, labels);
  }
  const states = new Map<string, number>();
  for (const shard of sources.shards) states.set(shard.state, (states.get(shard.state) ?? 0) + 1);
  for (const [state, count] of states) add('shards', count, `{state="${state}"}`);
  add('operations_in_flight', sources.operationsInFlight);
  add('connections', sources.connections);
  return `${lines.join('\n')}\n`;
}

const snakeCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
