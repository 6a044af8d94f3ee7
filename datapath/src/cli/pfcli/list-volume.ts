import { verb } from './verb.ts';
import { volumeTable } from './volume-table.ts';

export const listVolume = verb(
  { name: 'pfcli list_volume', summary: 'List the volumes of the cluster.', flags: {} },
  async (context) => {
    const volumes = await context.conductor.listVolume();
    context.print(volumes, () => `${volumes.length} volumes returned.\n${volumeTable(volumes)}`);
    return 0;
  },
);
