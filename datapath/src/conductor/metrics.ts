// GET /metrics: the cluster in numbers, as Prometheus reads them (text format 0.0.4).
import type { ConductorContext } from './context.ts';
import { storesById } from './handlers/cluster.ts';
import { StoreLoad } from './plan/store-load.ts';
import { isOnline, shardHealth, volumeHealth } from './state/queries.ts';

interface Sample {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

export function renderMetrics(context: ConductorContext): string {
  return [...conductorMetrics(context), ...storeMetrics(context), ...diskMetrics(context), ...volumeMetrics(context)].join('');
}

function conductorMetrics({ engine, pusher, state }: ConductorContext): string[] {
  const single = (value: number): Sample[] => [{ labels: {}, value }];
  return [
    gauge('pureflash_conductor_is_leader', 'Whether this conductor leads.', single(Number(engine.isLeader))),
    gauge('pureflash_conductor_applied_index', 'Commands applied since the cluster began.', single(engine.appliedIndex)),
    gauge(
      'pureflash_conductor_pushes_pending',
      'Configurations and deletions that stores have yet to take.',
      single(pusher.backlog),
    ),
    gauge('pureflash_deletions_pending', 'Deleted volumes that some store has yet to free.', single(state.deletions.size)),
  ];
}

function storeMetrics(context: ConductorContext): string[] {
  const load = new StoreLoad(context.state);
  const stores = storesById(context);
  const up = stores.map(({ id, host }) => ({ labels: { store: id, host }, value: Number(isOnline(context.monitor, id)) }));
  const primaries = stores.map(({ id }) => ({ labels: { store: id }, value: load.primaries(id) }));
  return [
    gauge('pureflash_store_up', 'Whether the store is heard of.', up),
    gauge('pureflash_store_primaries', 'Shards whose primary is on the store.', primaries),
  ];
}

function diskMetrics(context: ConductorContext): string[] {
  const { monitor } = context;
  const disks = storesById(context).flatMap((store) =>
    store.disks.map((disk) => ({ storeId: store.id, disk, labels: { store: store.id, disk: disk.uuid } })),
  );
  const isUp = (storeId: number, uuid: string): boolean => isOnline(monitor, storeId) && monitor.isDiskUsable(storeId, uuid);
  return [
    gauge(
      'pureflash_disk_up',
      'Whether the disk is usable.',
      disks.map(({ storeId, disk, labels }) => ({ labels, value: Number(isUp(storeId, disk.uuid)) })),
    ),
    gauge(
      'pureflash_disk_capacity_bytes',
      'Size of the disk.',
      disks.map(({ disk, labels }) => ({ labels, value: disk.rawCapacity })),
    ),
    gauge(
      'pureflash_disk_free_bytes',
      'Bytes not allocated on the disk.',
      disks.map(({ storeId, disk, labels }) => ({ labels, value: monitor.freeBytes(storeId, disk.uuid) })),
    ),
  ];
}

function volumeMetrics({ state, monitor }: ConductorContext): string[] {
  const volumes = [...state.volumes.values()];
  const shards = volumes.flatMap((volume) => volume.shards);
  const replicas = shards.flatMap((shard) => shard.replicas);
  const healths = ['OK', 'DEGRADED', 'ERROR'];
  const ofVolumes = volumes.map((volume) => volumeHealth(monitor, volume));
  const ofShards = shards.map((shard) => shardHealth(monitor, shard));
  const ofReplicas = replicas.map((replica) => replica.status);
  return [
    gauge('pureflash_volumes', 'Volumes by health.', counts('status', healths, ofVolumes)),
    gauge('pureflash_shards', 'Shards by health.', counts('status', healths, ofShards)),
    gauge('pureflash_replicas', 'Replicas by status.', counts('status', ['IN_SYNC', 'RECOVERING', 'OUT_OF_SYNC'], ofReplicas)),
  ];
}

function counts(label: string, values: readonly string[], found: readonly string[]): Sample[] {
  return values.map((value) => ({ labels: { [label]: value }, value: found.filter((each) => each === value).length }));
}

function gauge(name: string, help: string, samples: readonly Sample[]): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} gauge\n${samples.map((sample) => `${name}${labelText(sample.labels)} ${sample.value}\n`).join('')}`;
}

function labelText(labels: Sample['labels']): string {
  const pairs = Object.entries(labels).map(([key, value]) => `${key}="${String(value).replace(/[\\"\n]/g, '\\$&')}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}
