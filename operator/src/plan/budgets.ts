// How much may be taken away by hand (kubectl drain) at this moment. While everything is whole, one store at a time. Once a failure domain
// misses a store or data misses a replica, the other domains are closed; the one that is open anyway may be emptied, as a drain of a rack does.
import type { Budget } from './cluster-plan.ts';

export interface StoreState {
  readonly domain: string;
  readonly isOnline: boolean;
}

export function budgetsOf(stores: readonly StoreState[], isRedundant: boolean): readonly Budget[] {
  const domains = [...new Set(stores.map((store) => store.domain))].sort();
  const open = domains.filter((domain) => stores.some((store) => store.domain === domain && !store.isOnline));
  if (open.length === 0 && isRedundant) return stores.length === 0 ? [] : [{ domain: null, maxUnavailable: 1 }];
  const mayGoOn = open.length === 1 ? open[0] : undefined;
  return domains.filter((domain) => domain !== mayGoOn).map((domain) => ({ domain, maxUnavailable: 0 as const }));
}
