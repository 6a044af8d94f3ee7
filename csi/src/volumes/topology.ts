// From where volumes can be reached: from every node that has pfnbd, whether it has a store or not. Each of them says so with one segment, by
// which Kubernetes keeps pods with volumes off all other nodes.
//
// The segment becomes a label of the node, which kubelet neither changes nor removes, and a driver that says another value is refused: so the value
// is the same for whatever cluster the driver serves.
import type { Topology, TopologyRequirement } from '../messages/volume-messages.ts';
import { RpcError } from '../rpc/status.ts';

const KEY = 'topology.csi.pureflash.io/datapath';
const VALUE = 'present';

export const SEGMENTS: Readonly<Record<string, string>> = { [KEY]: VALUE };

/** Segments without our key do not exclude the place. */
export function isReached({ segments }: Topology): boolean {
  return (segments[KEY] ?? VALUE) === VALUE;
}

/** One of the places that a volume is wanted for is enough. Error RESOURCE_EXHAUSTED, which is CSI's word for it. */
export function checkRequirement(requirement: TopologyRequirement | null): void {
  const places = requirement?.requisite ?? [];
  if (places.length === 0 || places.some(isReached)) return;
  throw new RpcError(
    'RESOURCE_EXHAUSTED',
    `accessibility_requirements: volumes reach none of the ${places.length} places; choose nodes with the label ${KEY}=${VALUE}, which those with pfnbd have`,
  );
}
