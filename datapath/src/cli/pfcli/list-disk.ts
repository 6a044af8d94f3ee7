import { formatSize } from '../../base/sizes.ts';
import { formatTable } from '../../base/table.ts';
import { verb } from './verb.ts';

export const listDisk = verb(
  {
    name: 'pfcli list_disk',
    summary: 'List the disks of all stores.',
    flags: { long: { kind: 'boolean', short: 'l', help: 'show device, capacity and free space too' } },
  },
  async (context, flags) => {
    const disks = await context.conductor.listDisk();
    context.print(disks, () =>
      flags.long
        ? formatTable(
            ['Store ID', 'uuid', 'Device', 'Capacity', 'Free', 'Status'],
            disks.map((disk) => [
              String(disk.store_id),
              disk.uuid,
              disk.device,
              formatSize(disk.raw_capacity),
              formatSize(disk.free),
              disk.status,
            ]),
          )
        : formatTable(
            ['Store ID', 'uuid', 'Status'],
            disks.map((disk) => [String(disk.store_id), disk.uuid, disk.status]),
          ),
    );
    return 0;
  },
);
