import { formatTable } from '../../base/table.ts';
import { verb } from './verb.ts';

export const listStore = verb(
  { name: 'pfcli list_store', summary: 'List the stores of the cluster.', flags: {} },
  async (context) => {
    const stores = await context.conductor.listStore();
    context.print(stores, () =>
      formatTable(
        ['Id', 'Management IP', 'Status'],
        stores.map((store) => [String(store.id), store.mngt_ip, store.status]),
      ),
    );
    return 0;
  },
);
