// Where conductors live. Their state lies on the node, so a conductor that has been placed stays where it is.
import type { ConductorInstance } from './cluster-plan.ts';
import { chooseNodes } from './nodes.ts';
import type { ClusterView, NodeView } from './view.ts';

export interface ConductorPlacement {
  readonly instances: readonly ConductorInstance[];
  /** Why one could not be placed, or null. */
  readonly problem: string | null;
}

export function placeConductors(view: ClusterView): ConductorPlacement {
  const { spec, nodes } = view;
  const { count, nodeSelector } = spec.conductors;
  const label = spec.placement.failureDomain;
  const placed = chooseNodes({ nodes, kept: view.conductorNodes, count, nodeSelector, label });
  let problem = placed.includes(null)
    ? `no node is left for conductor ${placed.indexOf(null)}: one that is ready, not cordoned and matches conductors.nodeSelector is wanted`
    : null;
  const instances: ConductorInstance[] = [];
  for (const [ordinal, name] of placed.entries()) {
    if (name === null) continue;
    const node = nodes.find((each) => each.name === name);
    if (node === undefined) problem ??= `node ${name}, where conductor ${ordinal} has its state, is gone`;
    else instances.push(instanceOn(view, node, ordinal));
  }
  return { instances, problem };
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
