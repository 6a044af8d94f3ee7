// The plan of a StorageCluster: everything that is decided about it is decided from here. Pure: the same view gives the same plan, and an
// operator that dies in the middle of carrying one out makes the rest of it again.
import { formatHostPort } from '@pureflash/datapath/api';
import { PUREFLASH_VERSION } from '@pureflash/datapath/base';
import { budgetsOf, type StoreState } from './budgets.ts';
import type { ClusterPlan, LiveSettings, Phase, PlannedCondition, StoreInstance, Wanted, WantedCsi } from './cluster-plan.ts';
import { placeConductors, type ConductorPlacement } from './conductors.ts';
import { conditionsOf } from './cluster-conditions.ts';
import { planCsi } from './csi.ts';
import { deletionRefusal } from './deletion.ts';
import { refusalOf } from './refusals.ts';
import { conductorRevision, storeRevision, type Hash } from './revision.ts';
import { isInMaintenance, rolloutOf, type Rollout } from './rollout.ts';
import { placeServers, type ServerPlacement } from './servers.ts';
import { placeStores, type StorePlacement } from './stores.ts';
import { storeAt, type ClusterView } from './view.ts';

/** While something is under way and no watch would tell of its end: what the conductor says is asked for again. */
const LOOK_SOON_MS = 2_000;
const LOOK_LATER_MS = 30_000;

export function planCluster(view: ClusterView, hash: Hash): ClusterPlan {
  const deletion = view.isDeleting ? deletionRefusal(view) : null;
  if (view.isDeleting && deletion === null) return removal(view);
  const refusal = refusalOf(view);
  const servers = placeServers(view, hash);
  const placement = servers.isExternal ? NOT_STARTED : placeConductors(view);
  const endpoints = placement.instances.map((each) => formatHostPort(each.address, each.port));
  const stores = servers.isExternal ? NO_STORES : placeStores(view, endpoints);
  const conductors = placement.instances.map((instance) => ({
    instance,
    revision: conductorRevision(hash, instance),
    mayChange: !isInMaintenance(view) || !view.conductors.has(instance.ordinal),
  }));
  const areConductorsCurrent = conductors.every(({ instance, revision }) => {
    const workload = view.conductors.get(instance.ordinal);
    return workload !== undefined && workload.revision === revision && workload.isReady && workload.isCurrent;
  });
  const turns = stores.instances.map((instance) => ({
    node: instance.node,
    managementAddress: formatHostPort(instance.address, instance.managementPort),
    domain: instance.failureDomain,
    revision: storeRevision(hash, instance),
  }));
  const rollout = rolloutOf(view, turns, areConductorsCurrent);
  const wantedStores = stores.instances.map((instance, index) => ({
    instance,
    revision: turns[index]!.revision,
    mayChange: rollout.mayChange.has(instance.node),
  }));
  const csi = planCsi(view, endpoints, PUREFLASH_VERSION, hash);
  const findings: Findings = {
    view,
    deletion,
    refusal,
    servers,
    placement,
    stores,
    rollout,
    csi,
    areConductorsCurrent,
    online: onlineStores(view, wantedStores),
  };
  const { conditions, phase } = conditionsOf(findings);
  const isKept = refusal !== null || deletion !== null;
  return {
    action: isKept ? 'keep' : 'run',
    phase,
    conductors,
    stores: wantedStores,
    servers: servers.wanted,
    csi,
    endpoints,
    settings: settingsOf(view),
    budgets: budgetsOf(findings.online, view.control !== null && view.control.degradedCount === 0),
    discover: isKept ? [] : stores.discover,
    conditions,
    counts: countsOf(findings),
    lookAgainMs: lookAgain(view, phase),
  };
}

/** Conductors of this version cannot use the external engine: its servers come up, and nothing that would need them. */
const NOT_STARTED: ConductorPlacement = { instances: [], problem: null };
const NO_STORES: StorePlacement = { instances: [], discover: [], problems: [], leftOver: [], wantedCount: 0 };

/** What the conditions are made of. */
export interface Findings {
  readonly view: ClusterView;
  readonly deletion: { readonly reason: string; readonly message: string } | null;
  readonly refusal: { readonly reason: string; readonly message: string } | null;
  readonly servers: ServerPlacement;
  readonly placement: ConductorPlacement;
  readonly stores: StorePlacement;
  readonly rollout: Rollout;
  readonly csi: WantedCsi | null;
  readonly areConductorsCurrent: boolean;
  readonly online: readonly (StoreState & { readonly node: string })[];
}

/** A store is online when its process is ready and the conductor hears of it under its address. */
function onlineStores(view: ClusterView, wanted: readonly Wanted<StoreInstance>[]): (StoreState & { node: string })[] {
  return wanted
    .filter(({ instance }) => view.stores.has(instance.node))
    .map(({ instance }) => {
      const address = formatHostPort(instance.address, instance.managementPort);
      const heard = storeAt(view.control, address);
      return {
        node: instance.node,
        domain: instance.failureDomain,
        isOnline: view.stores.get(instance.node)!.isReady && heard?.isOnline === true,
      };
    });
}

function settingsOf(view: ClusterView): LiveSettings {
  const { conductors, stores, recovery } = view.spec;
  return {
    conductorLogLevel: conductors.logLevel,
    storeLogLevel: stores.logLevel,
    recoveryParallel: recovery.maxParallelPerStore,
  };
}

function countsOf({ view, placement, stores, rollout, online }: Findings): ClusterPlan['counts'] {
  return {
    conductorsReady: placement.instances.filter((each) => view.conductors.get(each.ordinal)?.isReady === true).length,
    storesReady: online.filter((each) => each.isOnline).length,
    storesWanted: stores.wantedCount,
    storesUpgraded: online.length - rollout.outdated.length,
  };
}

function lookAgain(view: ClusterView, phase: Phase): number {
  const ms = phase === 'Ready' || phase === 'Refused' ? LOOK_LATER_MS : LOOK_SOON_MS;
  return isInMaintenance(view) ? Math.min(LOOK_LATER_MS, Math.max(1, view.maintenanceEndMs! - view.nowMs)) : ms;
}

function removal(view: ClusterView): ClusterPlan {
  const deletable: PlannedCondition = {
    type: 'Deletable',
    status: 'True',
    reason: 'Allowed',
    message: 'nothing stands in its way',
  };
  const ready: PlannedCondition = {
    type: 'Ready',
    status: 'False',
    reason: 'Deleting',
    message: 'daemons are being taken away; disks keep their content',
  };
  return {
    action: 'remove',
    phase: 'Deleting',
    conductors: [],
    stores: [],
    servers: [],
    csi: null,
    endpoints: [],
    settings: settingsOf(view),
    budgets: [],
    discover: [],
    conditions: [ready, deletable],
    counts: { conductorsReady: 0, storesReady: 0, storesWanted: 0, storesUpgraded: 0 },
    lookAgainMs: LOOK_SOON_MS,
  };
}
