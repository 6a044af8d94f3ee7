// The managed servers of the external engine: where each lies, and who may connect. A server that has been placed stays with its data.
import type { ManagedServersSpec } from '../api/v1alpha1/metadata-servers.ts';
import type { ServerGroup, ServerKind, ServerMember, WantedServers } from './cluster-plan.ts';
import { placeConductors } from './conductors.ts';
import { chooseNodes } from './nodes.ts';
import { serversRevision, type Hash } from './revision.ts';
import { isInMaintenance } from './rollout.ts';
import type { ClusterView } from './view.ts';

export interface ServerPlacement {
  readonly isExternal: boolean;
  /** Of the kinds that the operator runs. */
  readonly wanted: readonly WantedServers[];
  /** By kind: why one could not be placed. */
  readonly problems: ReadonlyMap<ServerKind, string>;
}

export function placeServers(view: ClusterView, hash: Hash): ServerPlacement {
  const { spec } = view;
  const isExternal = spec.metadataEngine === 'external';
  const problems = new Map<ServerKind, string>();
  const wanted: WantedServers[] = [];
  const clients = spec.security.networkPolicies ? clientsOf(view) : null;
  for (const kind of ['zookeeper', 'mariadb'] as const) {
    const managed = spec[kind]?.managed;
    if (!isExternal || managed === undefined) continue;
    const { group, problem } = groupOf(view, kind, managed);
    if (problem !== null) problems.set(kind, problem);
    const { members, wasFounded } = view[kind];
    const isServing = [...members.values()].some((member) => member.isReady);
    wanted.push({
      group,
      revision: serversRevision(hash, group),
      mayChange: problem === null && (!isInMaintenance(view) || members.size === 0),
      mayFound: !wasFounded && !isServing,
      clients,
    });
  }
  return { isExternal, wanted, problems };
}

function groupOf(
  view: ClusterView,
  kind: ServerKind,
  managed: ManagedServersSpec,
): { readonly group: ServerGroup; readonly problem: string | null } {
  const { image, replicas: count, storageClassName, nodeSelector } = managed;
  const { spec, nodes, name, namespace } = view;
  const group = (members: readonly ServerMember[]): ServerGroup => ({
    kind,
    image,
    count,
    members,
    storageClassName: storageClassName ?? null,
  });
  if (storageClassName !== undefined) {
    const members = Array.from({ length: count }, (_, ordinal) => ({ ordinal, place: null }));
    return { group: group(members), problem: null };
  }
  const chosen = chooseNodes({ nodes, kept: view[kind].nodes, count, nodeSelector, label: spec.placement.failureDomain });
  const members = chosen.flatMap((node, ordinal) => {
    const dataPath = `${spec.conductors.dataPath}/${namespace}/${name}/${kind}-${ordinal}`;
    return node === null ? [] : [{ ordinal, place: { node, dataPath } }];
  });
  if (members.length < count)
    return {
      group: group(members),
      problem: `no node is left for ${kind} ${chosen.indexOf(null)}: each of ${count} wants one of its own that is ready, not cordoned and matches ${kind}.managed.nodeSelector`,
    };
  const gone = chosen.findIndex((each) => !nodes.some((node) => node.name === each));
  if (gone >= 0) return { group: group(members), problem: `node ${chosen[gone]}, where ${kind} ${gone} has its data, is gone` };
  return { group: group(members), problem: null };
}

/** Conductors use the network of their nodes: no label tells their packets from others', so their nodes' addresses have to. */
function clientsOf(view: ClusterView): readonly string[] {
  const nodes = placeConductors(view).instances.map(({ address }) => `${address}/${address.includes(':') ? 128 : 32}`);
  return [...new Set([...nodes, ...(view.spec.security.conductorNetworks ?? [])])];
}
