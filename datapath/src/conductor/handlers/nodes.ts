// The machines that can attach volumes: what their pfnbds say when they start.
import type { ListNodeReply, Reply } from '../../api/model.ts';
import { proposeOrThrow, type ConductorContext } from '../context.ts';

/** Written only when something is new. */
export async function putNode(
  context: ConductorContext,
  { node_name: name, version }: { readonly node_name: string; readonly version: string },
): Promise<Reply> {
  if (context.state.nodes.get(name)?.version !== version)
    await proposeOrThrow(context, { kind: 'put_node', node: { name, version } });
  return { op: 'put_node_reply', ret_code: 0 };
}

export async function removeNode(context: ConductorContext, { node_name: name }: { readonly node_name: string }): Promise<Reply> {
  await proposeOrThrow(context, { kind: 'remove_node', name });
  return { op: 'remove_node_reply', ret_code: 0 };
}

export function listNode(context: ConductorContext): ListNodeReply {
  const nodes = [...context.state.nodes.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  return { op: 'list_node_reply', ret_code: 0, nodes };
}
