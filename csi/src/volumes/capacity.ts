// How much one more volume could hold. Volumes are thin, so this is free space, not what has been promised.
import type { FreeSpace } from './volume-service.ts';

/**
 * The largest total of replicated bytes that fits, when each copy lies in another failure domain: the largest V for which the sum over
 * the domains of min(free, V) is at least copies x V.
 */
export function availableBytes({ byDomain }: FreeSpace, replicaCount: number): number {
  const free = [...byDomain].sort((a, b) => b - a);
  if (free.length < replicaCount) return 0;
  // A domain with more than V gives V. The largest ones are such givers, one after the other, until those that are left give all they have;
  // the last copy's giver always does.
  let rest = free.reduce((sum, bytes) => sum + bytes, 0);
  for (let givers = 0; ; givers += 1) {
    const evenly = Math.floor(rest / (replicaCount - givers));
    if (free[givers]! <= evenly) return evenly;
    rest -= free[givers]!;
  }
}
