// The kinds of daemons that the local platform runs, in the order in which they are stopped. A new one is one file and one line.
import { Registry, type DaemonKind } from '@pureflash/datapath/daemon';
import { conductorKind } from './conductor.ts';
import { frontKind } from './front.ts';
import { storeKind } from './store.ts';

const KINDS: readonly ((programs: string) => DaemonKind)[] = [
  frontKind, // clients of volumes
  storeKind,
  conductorKind,
];

/** `programs`: the folder with the daemons' main programs. */
export function createRegistry(programs: string): Registry {
  return new Registry(KINDS.map((make) => make(programs)));
}

/** Of a service, by its name: what has a lower rank has to end before. */
export function stopRank(registry: Registry, name: string): number {
  const kinds = registry.kinds().map((each) => each.kind);
  const rank = kinds.indexOf(kindOf(name));
  return rank < 0 ? kinds.length : rank;
}

export function kindOf(name: string): string {
  return name.split('/', 1)[0]!;
}
