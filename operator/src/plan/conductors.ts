// Where conductors live. Their state lies on the node, so a conductor that has been placed stays where it is.
import type { ConductorInstance } from './cluster-plan.ts';
import { matches } from './nodes.ts';
import type { ClusterView, NodeView } from './view.ts';

export interface ConductorPlacement {
  readonly instances: readonly ConductorInstance[];
  /** Why one could not be placed, or null. */
  readonly problem: string | null;
}

export function placeConductors(view: ClusterView): ConductorPlacement {
  const { spec, nodes } = view;
  const candidates = nodes.filter((node) => node.isReady && node.isSchedulable && matches(node, spec.conductors.nodeSelector));
  const placed: string[] = view.conductorNodes.slice(0, spec.conductors.count);
  let problem: string | null = null;
  while (placed.length < spec.conductors.count) {
    const next = leastUsed(candidates, placed, spec.placement.failureDomain);
    if (next === null) {
      problem = `no node is left for conductor ${placed.length}: one that is ready, not cordoned and matches conductors.nodeSelector is wanted`;
      break;
    }
    placed.push(next.name);
  }
  const instances: ConductorInstance[] = [];
  for (const [ordinal, name] of placed.entries()) {
    const node = nodes.find((each) => each.name === name);
    if (node === undefined) problem ??= `node ${name}, where conductor ${ordinal} has its state, is gone`;
    else instances.push(instanceOn(view, node, ordinal));
  }
  return { instances, problem };
}

/** One in a failure domain without a conductor first; by name, so that the choice is the same when it is made again. */
function leastUsed(candidates: readonly NodeView[], placed: readonly string[], label: string): NodeView | null {
  const domainOf = (node: NodeView): string => node.labels[label] ?? node.name;
  const used = new Set(candidates.filter((node) => placed.includes(node.name)).map(domainOf));
  const free = candidates.filter((node) => !placed.includes(node.name)).sort((a, b) => (a.name < b.name ? -1 : 1));
  return free.find((node) => !used.has(domainOf(node))) ?? free[0] ?? null;
}

function instanceOn(view: ClusterView, node: NodeView, ordinal: number): ConductorInstance {
  const { spec, name, namespace } = view;
  return {
    ordinal,
    node: node.name,
    address: node.address,
    port: spec.ports.conductor,
    dataPath: `${spec.conductors.dataPath}/${namespace}/${name}/conductor-${ordinal}`,
    image: spec.image,
    clusterName: name,
  };
}
