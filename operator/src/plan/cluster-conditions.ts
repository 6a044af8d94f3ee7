// What a StorageCluster says of itself: one condition for each question that somebody asks, and Ready over all of them.
//   Accepted        can the spec be realised?            ConductorsReady  does the control plane answer?
//   StoresReady     is every store online?               Redundant        has every volume all its replicas?
//   UpToDate        does everything run what the spec says?  Deletable    only while the resource is being deleted
// With the external engine also ZooKeeperReady and MetadataStoreReady (server-conditions.ts), with CSI also DatapathReady and CsiReady
// (csi-conditions.ts), which tell of claims: Ready tells of the store behind them.
import type { ConditionStatus, Phase, PlannedCondition } from './cluster-plan.ts';
import { csiConditions, nodesBehind } from './csi-conditions.ts';
import type { Findings } from './plan-cluster.ts';
import { isInMaintenance } from './rollout.ts';
import { engineMissing, serverConditions } from './server-conditions.ts';

export function conditionsOf(findings: Findings): { readonly conditions: readonly PlannedCondition[]; readonly phase: Phase } {
  const servers = serverConditions(findings.view, findings.servers);
  const needed = [accepted(findings), ...servers, conductorsReady(findings), storesReady(findings)];
  const csi = csiConditions(findings.view, findings.servers.isExternal);
  const parts = [...needed, redundant(findings), ...csi, upToDate(findings)];
  const { deletion } = findings;
  const deletable = deletion === null ? [] : [condition('Deletable', 'False', deletion.reason, deletion.message)];
  // Servers of others are Unknown, which stands in nobody's way.
  const blocking = needed.find((part) => part.status === 'False');
  const ready =
    blocking === undefined
      ? condition('Ready', 'True', 'Serving', 'conductors and stores are online')
      : condition('Ready', 'False', blocking.reason, blocking.message);
  return { conditions: [ready, ...parts, ...deletable], phase: phaseOf(findings, parts) };
}

const DATAPATH_WAITS = 'DatapathWaits';

function phaseOf(findings: Findings, parts: readonly PlannedCondition[]): Phase {
  const is = (type: string): boolean => parts.some((part) => part.type === type && part.status === 'True');
  if (findings.deletion !== null) return 'Deleting';
  if (!is('Accepted')) return 'Refused';
  if (isInMaintenance(findings.view)) return 'Maintenance';
  if (!findings.view.wasMade) return is('ConductorsReady') && findings.online.length > 0 ? 'Starting' : 'Pending';
  // What waits for somebody's hand is not under way.
  if (!is('UpToDate') && !parts.some((part) => part.reason === DATAPATH_WAITS)) return 'Upgrading';
  return is('ConductorsReady') && is('StoresReady') && is('Redundant') ? 'Ready' : 'Degraded';
}

function accepted({ refusal }: Findings): PlannedCondition {
  if (refusal !== null) return condition('Accepted', 'False', refusal.reason, refusal.message);
  return condition('Accepted', 'True', 'Accepted', 'the spec can be realised');
}

function conductorsReady({ view, placement, servers }: Findings): PlannedCondition {
  const type = 'ConductorsReady';
  if (servers.isExternal) return engineMissing(type);
  if (placement.problem !== null) return condition(type, 'False', 'NoNode', placement.problem);
  const missing = placement.instances.filter((each) => view.conductors.get(each.ordinal)?.isReady !== true);
  if (missing.length > 0) {
    const names = missing.map((each) => `conductor ${each.ordinal} on ${each.node}`).join(', ');
    return condition(type, 'False', 'Starting', `waiting for ${names}`);
  }
  if (view.control === null) return condition(type, 'False', 'NoAnswer', 'conductors run, but none answers');
  return condition(type, 'True', 'Serving', 'a conductor serves');
}

function storesReady({ stores, online, servers }: Findings): PlannedCondition {
  const type = 'StoresReady';
  if (servers.isExternal) return engineMissing(type);
  const { problems, leftOver, wantedCount } = stores;
  if (wantedCount === 0) return condition(type, 'False', 'NoNode', 'no node matches stores.nodeSelector');
  if (problems.length > 0) return condition(type, 'False', 'NoDisk', problems.join('; '));
  const offline = online.filter((store) => !store.isOnline).map((store) => store.node);
  const started = new Set(online.map((store) => store.node));
  const coming = stores.instances.filter((each) => !started.has(each.node)).map((each) => each.node);
  const waiting = [...offline, ...coming];
  if (waiting.length > 0)
    return condition(
      type,
      'False',
      'Offline',
      `${online.length - offline.length} of ${stores.instances.length} are online; not on ${waiting.join(', ')}`,
    );
  if (leftOver.length > 0) {
    const names = leftOver.join(', ');
    return condition(
      type,
      'False',
      'ScaleInNotAvailable',
      `the stores on ${names} stay: taking one away needs its data moved, which this version cannot; let stores.nodeSelector match again`,
    );
  }
  return condition(type, 'True', 'Online', `${online.length} stores are online`);
}

function redundant({ view }: Findings): PlannedCondition {
  const type = 'Redundant';
  const { control } = view;
  if (control === null) return condition(type, 'Unknown', 'NoAnswer', 'no conductor answers');
  if (control.degradedCount === 0) return condition(type, 'True', 'Whole', 'every volume has all its replicas');
  return condition(
    type,
    'False',
    'ReplicasMissing',
    `${control.degradedCount} volumes miss a replica: ${control.degraded.join(', ')}`,
  );
}

function upToDate({ view, rollout, areConductorsCurrent, placement, servers, csi }: Findings): PlannedCondition {
  const type = 'UpToDate';
  if (rollout.pause !== null) return condition(type, 'False', rollout.pause.reason, `paused: ${rollout.pause.message}`);
  if (rollout.outdated.length > 0)
    return condition(type, 'False', 'RollingOut', `to be restarted: the stores on ${rollout.outdated.join(', ')}`);
  if (!areConductorsCurrent && placement.instances.length > 0)
    return condition(type, 'False', 'RollingOut', 'conductors are being started');
  const behind = servers.wanted.filter(({ group, revision }) => {
    const members = [...view[group.kind].members.values()];
    return members.length > 0 && members.some((member) => member.revision !== revision || !member.isCurrent);
  });
  if (behind.length > 0)
    return condition(
      type,
      'False',
      'RollingOut',
      `${behind.map(({ group }) => group.kind).join(', ')}: servers are being started`,
    );
  const late = nodesBehind(view, csi);
  if (late.length > 0)
    return condition(
      type,
      'False',
      DATAPATH_WAITS,
      `pfnbd of an earlier revision runs on ${late.join(', ')}: volumes there are served on; delete its pod on each node when it suits you`,
    );
  return condition(type, 'True', 'UpToDate', 'everything runs what the spec says');
}

function condition(type: string, status: ConditionStatus, reason: string, message: string): PlannedCondition {
  return { type, status, reason, message };
}
