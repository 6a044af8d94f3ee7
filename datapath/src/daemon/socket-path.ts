// Where the control socket of a service lies: a name from a hash, the same in every life of the manager, short enough for a
// unix address whatever the service is called. Called by service.ts and by programs that want to talk to a daemon.
import { PfError } from '../base/errors.ts';
import type { World } from '../world/world.ts';

/** What a unix address holds. */
export const SOCKET_PATH_BYTES_MAX = 107;
const HASH_DIGITS = 24;

/** Errors: INVALID_ARGUMENT when the folder alone is too long. */
export function controlSocketPath(world: Pick<World, 'sha256'>, folder: string, name: string): string {
  const encoder = new TextEncoder();
  const path = `${folder}/${world.sha256(encoder.encode(name)).slice(0, HASH_DIGITS)}.sock`;
  const lengthBytes = encoder.encode(path).length;
  if (lengthBytes <= SOCKET_PATH_BYTES_MAX) return path;
  const most = SOCKET_PATH_BYTES_MAX - (lengthBytes - encoder.encode(folder).length);
  throw new PfError(
    'INVALID_ARGUMENT',
    `cannot put control sockets into "${folder}": the folder's path may have ${most} bytes; choose a shorter one`,
  );
}
