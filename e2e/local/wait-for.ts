// Waiting on a state with a deadline: the only way in which a test of ours waits.
import { setTimeout as sleep } from 'node:timers/promises';

/** Asks until `probe` answers something other than null; throws after `patienceMs`, naming `what` and the last failure. */
export async function waitFor<T>(what: string, patienceMs: number, probe: () => Promise<T | null>, periodMs = 50): Promise<T> {
  const deadline = performance.now() + patienceMs;
  let last: unknown = null;
  for (;;) {
    try {
      const answer = await probe();
      if (answer !== null) return answer;
    } catch (error) {
      last = error;
    }
    if (performance.now() >= deadline) {
      throw new Error(`waited ${patienceMs / 1000} s in vain for ${what}`, { cause: last ?? undefined });
    }
    await sleep(periodMs);
  }
}
