import { formatTable } from '../../base/table.ts';
import { verb } from './verb.ts';

export const listNode = verb(
  { name: 'pfcli list_node', summary: 'List the nodes that can attach volumes.', flags: {} },
  async (context) => {
    const nodes = await context.conductor.listNode();
    context.print(nodes, () =>
      formatTable(
        ['Name', 'Version'],
        nodes.map((node) => [node.name, node.version]),
      ),
    );
    return 0;
  },
);
