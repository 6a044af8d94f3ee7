// Paths of unix sockets: their length, and making room for a new socket.
import { lstat, unlink } from 'node:fs/promises';
import { PfError } from '../../base/errors.ts';
import { connectSocket } from './connect-socket.ts';
import { systemCodeOf } from './system-error.ts';

const PATH_BYTES_MAX = 107;
const PROBE_TIMEOUT_MS = 1000;

export function checkUnixPath(path: string): void {
  const length = Buffer.byteLength(path);
  if (length >= 1 && length <= PATH_BYTES_MAX) return;
  throw new PfError(
    'INVALID_ARGUMENT',
    `cannot use unix:${path}: its path has ${length} bytes, and 1 to ${PATH_BYTES_MAX} are possible`,
  );
}

/** Makes room for a unix socket: removes one that nobody serves any more, refuses when somebody answers. */
export async function clearUnixPath(path: string): Promise<void> {
  checkUnixPath(path);
  const found = await lstat(path).catch(() => null);
  if (found === null) return;
  if (!found.isSocket())
    throw new PfError('ALREADY_EXISTS', `cannot listen at unix:${path}: a file that is no socket is there; remove it`);
  try {
    (await connectSocket({ kind: 'unix', path }, PROBE_TIMEOUT_MS)).destroy();
  } catch (error) {
    if (systemCodeOf((error as PfError).cause) === 'ECONNREFUSED') {
      await unlink(path).catch(() => {});
      return;
    }
    if ((error as PfError).code === 'NOT_FOUND') return;
  }
  throw new PfError('ALREADY_EXISTS', `cannot listen at unix:${path}: another process serves it; stop it or choose another path`);
}
