// Tells the cluster that this machine can attach volumes, for as long as it can: a conductor that has lost it, or was told to forget it,
// knows it again. What a conductor knows already it does not write.
import type { ConductorClient } from '../api/conductor-client.ts';
import { formatErrorChain } from '../base/errors.ts';
import type { World } from '../world/world.ts';

const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 10_000;
const PERIOD_MS = 30_000;

/** Resolves when the signal is aborted. */
export async function announceNode(
  world: World,
  client: ConductorClient,
  node: { readonly name: string; readonly version: string },
  signal: AbortSignal,
): Promise<void> {
  for (let pauseMs = FIRST_PAUSE_MS; !signal.aborted; ) {
    try {
      await client.putNode(node.name, node.version, { signal });
      await world.clock.sleep(PERIOD_MS, signal);
      pauseMs = FIRST_PAUSE_MS;
    } catch (error) {
      if (signal.aborted) return;
      world.log.info('the cluster does not know this node yet', { node: node.name, error: formatErrorChain(error) });
      await world.clock.sleep(pauseMs, signal).catch(() => {}); // Aborted: the loop ends.
      pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
    }
  }
}
