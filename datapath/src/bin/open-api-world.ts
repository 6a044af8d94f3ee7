// The world of a program that may be given the cluster's API token.
import { readFile } from 'node:fs/promises';
import { withToken } from '../api/api-token.ts';
import { readToken } from '../cli/token-flag.ts';
import { openNodeWorld, type NodeWorldOptions } from '../world/node/node-world.ts';
import type { World } from '../world/world.ts';

/** Errors: those of reading the token, before anything is opened. */
export async function openApiWorld(tokenFile: string | undefined, options: NodeWorldOptions): Promise<World> {
  const token = await readToken(tokenFile, (path) => readFile(path, 'utf8'));
  const world = await openNodeWorld(options);
  return token === null ? world : withToken(world, token);
}
