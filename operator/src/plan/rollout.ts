// Whose turn it is to change when daemons have to be restarted: conductors first, then the stores of one failure domain after the other,
// each only while nothing else is missing. Pure; made anew in each round from what is, so it can be left at any moment.
import { storeAt, type ClusterView } from './view.ts';

export interface StoreTurn {
  readonly node: string;
  /** Where conductors know it, "host:port". */
  readonly managementAddress: string;
  readonly domain: string;
  readonly revision: string;
}

export interface Rollout {
  /** Nodes whose store may take its new revision now. */
  readonly mayChange: ReadonlySet<string>;
  /** Stores that still have the old revision. */
  readonly outdated: readonly string[];
  /** Why nobody moves although somebody would have to, or null. */
  readonly pause: { readonly reason: string; readonly message: string } | null;
}

export function rolloutOf(view: ClusterView, turns: readonly StoreTurn[], areConductorsCurrent: boolean): Rollout {
  const isOutdated = (turn: StoreTurn): boolean =>
    mayHoldData(view, turn) && view.stores.get(turn.node)!.revision !== turn.revision;
  const outdated = turns.filter(isOutdated);
  const always = turns.filter((turn) => !isOutdated(turn)).map((turn) => turn.node);
  const waiting = (reason: string, message: string): Rollout => ({
    mayChange: new Set(always),
    outdated: outdated.map((turn) => turn.node),
    pause: { reason, message },
  });
  if (outdated.length === 0) return { mayChange: new Set(always), outdated: [], pause: null };
  if (isInMaintenance(view)) return waiting('Maintenance', `maintenance until ${view.spec.maintenance!.until}`);
  if (!areConductorsCurrent) return waiting('ConductorsFirst', 'stores change when the conductors have');
  const domain = nextDomain(view, turns, outdated);
  const harm = harmOf(view, turns, domain);
  if (harm !== null) return waiting(harm.reason, harm.message);
  const now = outdated.filter((turn) => turn.domain === domain).map((turn) => turn.node);
  return { mayChange: new Set([...always, ...now]), outdated: outdated.map((turn) => turn.node), pause: null };
}

export function isInMaintenance(view: ClusterView): boolean {
  return view.maintenanceEndMs !== null && view.maintenanceEndMs > view.nowMs;
}

/** A domain in which something is down already goes on, then one with a pod that is not ready; else the first one by name. */
function nextDomain(view: ClusterView, turns: readonly StoreTurn[], outdated: readonly StoreTurn[]): string {
  const domains = [...new Set(outdated.map((turn) => turn.domain))].sort();
  const isUnready = (domain: string): boolean => turns.some((turn) => turn.domain === domain && !isUp(view, turn.node));
  return domains.find((domain) => isOpenAnyway(view, turns, domain)) ?? domains.find(isUnready) ?? domains[0]!;
}

/** What would be missing at the same time. */
function harmOf(view: ClusterView, turns: readonly StoreTurn[], domain: string): { reason: string; message: string } | null {
  const { control } = view;
  if (control === null)
    return {
      reason: 'NoConductor',
      message: 'no conductor answers, so nobody can say whether every volume has all its replicas',
    };
  const missing = turns.filter(
    (turn) => turn.domain !== domain && mayHoldData(view, turn) && (!isUp(view, turn.node) || !isHeard(view, turn)),
  );
  if (missing.length > 0) {
    const names = missing.map((turn) => turn.node).join(', ');
    return { reason: 'StoresMissing', message: `the stores of ${domain} stay as they are while those on ${names} are not ready` };
  }
  if (control.degradedCount === 0 || isOpenAnyway(view, turns, domain)) return null;
  return {
    reason: 'NotRedundant',
    message: `${control.degradedCount} volumes miss a replica (${control.degraded.join(', ')}); the stores of ${domain} stay as they are until all are whole`,
  };
}

/**
 * One of its stores serves nobody, whatever is done to it. The conductor says so, not the pod: one that is not ready (a failed disk among several,
 * a slow probe) may have the only replicas in sync, and one that is ready may have lost its network and need the restart.
 */
function isOpenAnyway(view: ClusterView, turns: readonly StoreTurn[], domain: string): boolean {
  return turns.some((turn) => turn.domain === domain && !isHeard(view, turn));
}

function isHeard({ control }: ClusterView, turn: StoreTurn): boolean {
  return storeAt(control, turn.managementAddress)?.isOnline === true;
}

/** A store that no conductor has ever heard of holds nothing: what kept it from starting may be put right at any time. */
function mayHoldData({ stores, storeUuids, control }: ClusterView, turn: StoreTurn): boolean {
  if (!stores.has(turn.node)) return false;
  if (stores.get(turn.node)!.isReady || control === null || storeUuids.has(turn.node)) return true;
  return storeAt(control, turn.managementAddress) !== null;
}

function isUp(view: ClusterView, node: string): boolean {
  const workload = view.stores.get(node);
  return workload !== undefined && workload.isReady && workload.isCurrent;
}
