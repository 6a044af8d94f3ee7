// What a StorageCluster with the external engine says of ZooKeeper and MariaDB.
//   ZooKeeperReady, MetadataStoreReady     True while a majority serves; Unknown of servers that are not ours
import type { PlannedCondition, ServerKind } from './cluster-plan.ts';
import type { ServerPlacement } from './servers.ts';
import type { ClusterView } from './view.ts';

const TYPES = { zookeeper: 'ZooKeeperReady', mariadb: 'MetadataStoreReady' } as const;

/** None with the embedded engine. */
export function serverConditions(view: ClusterView, servers: ServerPlacement): readonly PlannedCondition[] {
  return servers.isExternal ? (['zookeeper', 'mariadb'] as const).map((kind) => conditionOf(view, servers, kind)) : [];
}

function conditionOf(view: ClusterView, servers: ServerPlacement, kind: ServerKind): PlannedCondition {
  const type = TYPES[kind];
  const made = (status: PlannedCondition['status'], reason: string, message: string): PlannedCondition => ({
    type,
    status,
    reason,
    message,
  });
  const wanted = servers.wanted.find(({ group }) => group.kind === kind);
  if (wanted === undefined) {
    const endpoints = view.spec[kind]?.endpoints?.join(', ') ?? '';
    return made('Unknown', 'NotManaged', `the servers at ${endpoints} are yours: the operator neither runs nor asks them`);
  }
  const { count, members } = wanted.group;
  const serving = members.filter(({ ordinal }) => view[kind].members.get(ordinal)?.isReady === true);
  const missing = members.filter((member) => !serving.includes(member)).map(({ ordinal, place }) => nameOf(kind, ordinal, place));
  const problem = servers.problems.get(kind);
  const isMajority = serving.length > count / 2;
  if (serving.length === count) return made('True', 'Serving', `${serving.length} of ${count} serve`);
  const told = [
    `${serving.length} of ${count} serve`,
    ...(problem === undefined ? [`waiting for ${missing.join(', ')}`] : [problem]),
  ];
  if (isMajority) return made('True', 'ServerMissing', told.join('; '));
  return made('False', problem === undefined ? 'Starting' : 'NoNode', told.join('; '));
}

const nameOf = (kind: string, ordinal: number, place: { readonly node: string } | null): string =>
  `${kind} ${ordinal}${place === null ? '' : ` on ${place.node}`}`;

/** Conductors and stores wait for a version that has the engine. */
export function engineMissing(type: string): PlannedCondition {
  return {
    type,
    status: 'False',
    reason: 'EngineNotAvailable',
    message:
      'conductors of this version keep their state themselves: ZooKeeper and MariaDB are prepared, and neither conductors nor stores are started; make a cluster with metadataEngine: embedded, or wait for a version whose conductors can use them',
  };
}
