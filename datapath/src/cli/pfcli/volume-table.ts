// The volume table that create_volume and list_volume share.
import type { VolumeInfo } from '../../api/model.ts';
import { formatTable } from '../../base/table.ts';

export function volumeTable(volumes: readonly VolumeInfo[]): string {
  return formatTable(
    ['Id', 'Name', 'Size', 'RepCount', 'Status', 'Attached to'],
    volumes.map((volume) => [
      String(volume.id),
      volume.name,
      String(volume.size),
      String(volume.rep_count),
      volume.status,
      volume.attached_to ?? '',
    ]),
  );
}
