// Tells the cluster that this machine can attach volumes: once for each start, again and again until a conductor has heard it.
import type { ConductorClient } from '../api/conductor-client.ts';
import { formatErrorChain } from '../base/errors.ts';
import type { World } from '../world/world.ts';

const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 10_000;

/** Resolves when it is known, or when the signal is aborted. */
export async function announceNode(
  world: World,
  client: ConductorClient,
  node: { readonly name: string; readonly version: string },
  signal: AbortSignal,
): Promise<void> {
  for (let pauseMs = FIRST_PAUSE_MS; !signal.aborted; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
    try {
      return await client.putNode(node.name, node.version, { signal });
    } catch (error) {
      if (signal.aborted) return;
      world.log.info('the cluster does not know this node yet', { node: node.name, error: formatErrorChain(error) });
    }
    await world.clock.sleep(pauseMs, signal).catch(() => {});
  }
}
