// What a new configuration means for a running process: nothing, a change while it runs, or a restart. Decided by two hashes:
// of everything, and of the part that a process reads only at its start (its command is always of that part). Pure.
import { canonicalJson, type Json } from '../base/json.ts';
import type { World } from '../world/world.ts';

/** Lower-case hex of sha256. */
export interface ConfigHashes {
  readonly whole: string;
  readonly restartPart: string;
}

export type ConfigChange = 'identical' | 'live' | 'restart';

export function compareConfigs(running: ConfigHashes, wanted: ConfigHashes): ConfigChange {
  if (running.restartPart !== wanted.restartPart) return 'restart';
  return running.whole === wanted.whole ? 'identical' : 'live';
}

export function hashConfig(world: Pick<World, 'sha256'>, whole: Json, restartPart: Json): ConfigHashes {
  return { whole: hashJson(world, [whole, restartPart]), restartPart: hashJson(world, restartPart) };
}

export function hashJson(world: Pick<World, 'sha256'>, value: Json): string {
  return world.sha256(new TextEncoder().encode(canonicalJson(value)));
}
