// What a new configuration means for a running process: nothing, a change while it runs, or a restart. Decided by two hashes:
// of everything, and of the part that a process reads only at its start (its command is always of that part). Pure.
import type { World } from '../world/world.ts';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = { readonly [key: string]: Json };

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

/** JSON in which the order of an object's keys does not matter. */
export function canonicalJson(value: Json): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  const object = value as JsonObject;
  const keys = Object.keys(object).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonicalJson(object[key]!)}`).join(',')}}`;
}
