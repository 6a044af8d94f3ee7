import type { VolumeConfig } from '../../api/model.ts';
import { formatTable } from '../../base/table.ts';
import { verb, VOLUME_FLAG } from './verb.ts';

export const openVolume = verb(
  {
    name: 'pfcli open_volume',
    summary:
      'Attach a volume and show its layout. A writer that had it open is fenced, and this host stays recorded until detach_volume; with --read-only nothing changes.',
    flags: { volume: VOLUME_FLAG, readOnly: { kind: 'boolean', help: 'look only: do not raise the attach epoch' } },
  },
  async (context, flags) => {
    const config = await context.conductor.openVolume(flags.volume, { isReadOnly: flags.readOnly, client: context.hostName });
    const { token: _secret, ...shown } = config;
    context.print(shown, () => layout(config));
    return 0;
  },
);

function layout(config: VolumeConfig): string {
  const rows = config.shards.flatMap((shard) =>
    shard.replicas.map((replica) => [
      String(shard.index),
      String(shard.meta_ver),
      String(replica.index),
      String(replica.store_id),
      replica.address,
      replica.index === shard.primary_rep_index ? 'primary' : 'secondary',
      replica.status,
    ]),
  );
  const head = `volume ${config.volume_name}, ${config.volume_size} bytes, attach epoch ${config.attach_epoch}, ${config.status}`;
  return `${head}\n${formatTable(['Shard', 'Meta version', 'Replica', 'Store ID', 'Address', 'Role', 'Status'], rows)}`;
}
