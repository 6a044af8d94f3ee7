// From where volumes can be reached: from every node that has the cluster's pfnbd, whether it has a store or not. Each of them says so with one
// segment, by which Kubernetes keeps pods with volumes off all other nodes.
import type { Topology, TopologyRequirement } from '../messages/volume-messages.ts';
import { RpcError } from '../rpc/status.ts';

/** A label of nodes; its value is the cluster's name. */
export const TOPOLOGY_KEY = 'topology.csi.pureflash.io/cluster';

export type Segments = Readonly<Record<string, string>>;

export const segmentsOf = (clusterName: string): Segments => ({ [TOPOLOGY_KEY]: clusterName });

/** A place that says nothing of clusters is as good as any. */
export function isReached({ segments }: Topology, clusterName: string): boolean {
  return (segments[TOPOLOGY_KEY] ?? clusterName) === clusterName;
}

/** One of the places that a volume is wanted for is enough. Error RESOURCE_EXHAUSTED, which is CSI's word for it. */
export function checkRequirement(requirement: TopologyRequirement | null, clusterName: string): void {
  const places = requirement?.requisite ?? [];
  if (places.length === 0 || places.some((place) => isReached(place, clusterName))) return;
  throw new RpcError(
    'RESOURCE_EXHAUSTED',
    `accessibility_requirements: none of the ${places.length} places reaches cluster "${clusterName}"; choose nodes with the label ${TOPOLOGY_KEY}=${clusterName}, which those with its pfnbd have`,
  );
}
