// GET /: the cluster on one page for people. Plain HTML with its style inside, no script, nothing fetched from elsewhere; it
// loads itself again every two seconds. Everything that came from outside is escaped.
import { formatSize } from '../base/sizes.ts';
import type { ConductorContext } from './context.ts';
import { storesById } from './handlers/cluster.ts';
import type { ShardRecord, StoreRecord, VolumeRecord } from './state/cluster-state.ts';
import { isOnline, shardHealth, volumeHealth } from './state/queries.ts';

/** More rows than these are counted, not shown. */
const MAX_VOLUMES_SHOWN = 200;
const MAX_SHARDS_SHOWN = 64;

export function renderStatusPage(context: ConductorContext): string {
  const { state, monitor } = context;
  const stores = storesById(context);
  const volumes = [...state.volumes.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  const health = volumes.map((volume) => volumeHealth(monitor, volume));
  const worst = health.includes('ERROR') ? 'ERROR' : health.includes('DEGRADED') ? 'DEGRADED' : 'OK';
  const online = stores.filter((store) => isOnline(monitor, store.id)).length;
  const name = escape(state.cluster!.name);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="2">
<title>${name} - PureFlash</title>
<style>${STYLE}</style>
</head>
<body>
<header><h1>${name}</h1>${badge(worst)}</header>
<section class="tiles">
${tile('Stores', `${online} of ${stores.length}`, 'online')}
${tile('Volumes', String(volumes.length), `${health.filter((each) => each === 'OK').length} healthy`)}
${tile('Space', freeText(context, stores), `free of ${formatSize(capacityOf(stores))}`)}
${tile('Recovering', String(countReplicas(volumes, 'RECOVERING')), `${countReplicas(volumes, 'OUT_OF_SYNC')} replicas out of sync`)}
</section>
<h2>Stores</h2>
${storeTable(context, stores)}
<h2>Disks</h2>
${diskTable(context, stores)}
<h2>Volumes</h2>
${volumeTable(context, volumes)}
<footer>cluster ${escape(state.cluster!.uuid)} &middot; version ${escape(context.version)} &middot; ${context.engine.appliedIndex} commands applied &middot; ${context.pusher.backlog} pushes pending &middot; ${state.deletions.size} deletions pending</footer>
</body>
</html>
`;
}

function storeTable(context: ConductorContext, stores: readonly StoreRecord[]): string {
  const rows = stores.map((store) => {
    const silence = context.monitor.silenceMs(store.id);
    const status = isOnline(context.monitor, store.id) ? 'OK' : 'OFFLINE';
    const heard = silence === null ? 'not since this conductor started' : `${(silence / 1000).toFixed(1)} s ago`;
    return [
      String(store.id),
      badge(status),
      escape(store.host),
      escape(store.dataAddress),
      escape(store.httpAddress),
      heard,
      escape(store.version),
    ];
  });
  return table(
    ['Id', 'Status', 'Host', 'Data', 'Management', 'Heard', 'Version'],
    rows,
    'No store has registered yet. Start pfstore with the address of this conductor.',
  );
}

function diskTable(context: ConductorContext, stores: readonly StoreRecord[]): string {
  const rows = stores.flatMap((store) =>
    store.disks.map((disk) => {
      const isUsable = isOnline(context.monitor, store.id) && context.monitor.isDiskUsable(store.id, disk.uuid);
      const free = context.monitor.freeBytes(store.id, disk.uuid);
      const usedShare = disk.rawCapacity === 0 ? 0 : Math.max(0, Math.min(1, 1 - free / disk.rawCapacity));
      const meter = `<meter min="0" max="1" high="0.9" value="${usedShare.toFixed(3)}"></meter> ${Math.round(usedShare * 100)}%`;
      return [
        String(store.id),
        badge(isUsable ? 'OK' : disk.status === 'ERROR' ? 'ERROR' : 'OFFLINE'),
        escape(disk.device),
        escape(disk.uuid),
        formatSize(disk.rawCapacity),
        isUsable ? meter : 'unknown',
      ];
    }),
  );
  return table(['Store', 'Status', 'Device', 'Uuid', 'Size', 'Used'], rows, 'No disks.');
}

function volumeTable(context: ConductorContext, volumes: readonly VolumeRecord[]): string {
  const rows = volumes
    .slice(0, MAX_VOLUMES_SHOWN)
    .map((volume) => [
      escape(volume.name),
      badge(volumeHealth(context.monitor, volume)),
      formatSize(volume.sizeBytes),
      String(volume.replicaCount),
      String(volume.attachEpoch),
      shardSquares(context, volume.shards),
    ]);
  const more = volumes.length > MAX_VOLUMES_SHOWN ? `<p>and ${volumes.length - MAX_VOLUMES_SHOWN} more</p>` : '';
  return (
    table(['Name', 'Status', 'Size', 'Replicas', 'Epoch', 'Shards'], rows, 'No volumes. Create one with pfcli create_volume.') +
    more
  );
}

function shardSquares(context: ConductorContext, shards: readonly ShardRecord[]): string {
  const squares = shards.slice(0, MAX_SHARDS_SHOWN).map((shard, index) => {
    const replicas = shard.replicas.map(
      (replica, each) => `${each === shard.primary ? '*' : ''}store ${replica.storeId} ${replica.status}`,
    );
    const title = `shard ${index}, meta version ${shard.metaVersion}: ${replicas.join(', ')}`;
    return `<i class="${shardHealth(context.monitor, shard)}" title="${escape(title)}"></i>`;
  });
  return squares.join('') + (shards.length > MAX_SHARDS_SHOWN ? ` +${shards.length - MAX_SHARDS_SHOWN}` : '');
}

function freeText(context: ConductorContext, stores: readonly StoreRecord[]): string {
  let free = 0;
  for (const store of stores) for (const disk of store.disks) free += context.monitor.freeBytes(store.id, disk.uuid);
  return formatSize(free);
}

function capacityOf(stores: readonly StoreRecord[]): number {
  return stores.reduce((sum, store) => sum + store.disks.reduce((inner, disk) => inner + disk.rawCapacity, 0), 0);
}

function countReplicas(volumes: readonly VolumeRecord[], status: string): number {
  return volumes.reduce(
    (sum, volume) =>
      sum + volume.shards.reduce((inner, shard) => inner + shard.replicas.filter((each) => each.status === status).length, 0),
    0,
  );
}

function tile(label: string, value: string, note: string): string {
  return `<div><b>${label}</b><strong>${value}</strong><span>${note}</span></div>`;
}

function badge(status: string): string {
  return `<em class="${status}">${status}</em>`;
}

/** Cells are HTML already. */
function table(heads: readonly string[], rows: readonly (readonly string[])[], empty: string): string {
  if (rows.length === 0) return `<p>${empty}</p>`;
  const body = rows.map((row) => `<tr>${row.map((cell) => `<td>${cell}</td>`).join('')}</tr>`).join('\n');
  return `<table>\n<thead><tr>${heads.map((head) => `<th>${head}</th>`).join('')}</tr></thead>\n<tbody>\n${body}\n</tbody>\n</table>`;
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character]!);
}

const STYLE = `
:root { color-scheme: light dark; --line: light-dark(#ddd, #333); --dim: light-dark(#666, #999); }
body { font: 14px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
header { display: flex; align-items: center; gap: 1rem; }
h1 { font-size: 1.5rem; margin: 0; }
h2 { font-size: 1rem; margin: 2rem 0 .5rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: 1rem; margin: 1.5rem 0; }
.tiles div { border: 1px solid var(--line); border-radius: .5rem; padding: .75rem 1rem; display: grid; }
.tiles b { color: var(--dim); font-weight: 500; }
.tiles strong { font-size: 1.5rem; font-weight: 600; }
.tiles span, footer, p { color: var(--dim); }
table { border-collapse: collapse; width: 100%; display: block; overflow-x: auto; }
th { text-align: left; font-weight: 500; color: var(--dim); }
th, td { padding: .3rem 1rem .3rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; font-variant-numeric: tabular-nums; }
em { font-style: normal; font-size: .75rem; font-weight: 600; padding: .1rem .5rem; border-radius: 1rem; color: #fff; background: #777; }
em.OK, i.OK { background: #16803c; }
em.DEGRADED, i.DEGRADED { background: #b45309; }
em.ERROR, i.ERROR, em.OFFLINE { background: #b91c1c; }
i { display: inline-block; width: .7rem; height: .7rem; margin-right: .15rem; border-radius: .15rem; vertical-align: -.05rem; }
meter { width: 6rem; vertical-align: middle; }
footer { margin: 2rem 0; font-size: .8rem; }
`;
