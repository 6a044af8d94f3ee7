// Unix sockets as files of this machine, for rpc/ and registration/.
import { chmod, lstat, mkdir, unlink } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { dirname } from 'node:path';
import { PfError } from '@pureflash/datapath/base';
import type { SocketFiles } from '../rpc/socket-files.ts';

const PATH_BYTES_MAX = 107;
const PROBE_MS_MAX = 1_000;
const FOLDER_MODE = 0o750;
const SOCKET_MODE = 0o600;

export function openSocketFiles(): SocketFiles {
  return {
    clear,
    restrict: (path) => chmod(path, SOCKET_MODE),
    async identify(path) {
      const found = await lstatOrNull(path);
      // Nobody else gets the number while a server still holds the socket that has it, also when its name is gone.
      return found === null ? null : `${found.dev}:${found.ino}`;
    },
  };
}

async function clear(path: string): Promise<void> {
  const length = Buffer.byteLength(path);
  if (!path.startsWith('/') || length > PATH_BYTES_MAX) {
    const wanted = `an absolute path of at most ${PATH_BYTES_MAX} bytes wanted`;
    throw new PfError('INVALID_ARGUMENT', `cannot listen at ${path} (${length} bytes): ${wanted}`);
  }
  await mkdir(dirname(path), { recursive: true, mode: FOLDER_MODE });
  const found = await lstatOrNull(path);
  if (found === null) return;
  if (!found.isSocket()) {
    throw new PfError('ALREADY_EXISTS', `cannot listen at ${path}: a file that is no socket is there; remove it`);
  }
  if (!(await isRefused(path))) {
    throw new PfError(
      'ALREADY_EXISTS',
      `cannot listen at ${path}: another process answers there; stop it or choose another path`,
    );
  }
  await unlink(path).catch((error: unknown) => {
    if (!isMissing(error)) throw error;
  });
}

/** True when nobody listens any more. Whoever is too busy to answer still listens. */
function isRefused(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    const end = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(PROBE_MS_MAX, () => end(false));
    socket.once('connect', () => end(false));
    socket.once('error', (error: NodeJS.ErrnoException) => end(error.code === 'ECONNREFUSED' || error.code === 'ENOENT'));
  });
}

async function lstatOrNull(path: string): Promise<Awaited<ReturnType<typeof lstat>> | null> {
  try {
    return await lstat(path);
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT';
