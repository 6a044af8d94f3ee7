// Other NBD servers, started for a comparison and ended with it: those that people use, and one that does the least that is possible.
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { missing, outputOf } from '../interop/tool.ts';
import { waitFor } from '../local/wait-for.ts';

/** It takes one request at a time, so it is asked at depth 1 only. */
export const BARE = 'bare server';

export interface RunningServer {
  readonly name: string;
  readonly uri: string;
  stop(): Promise<unknown>;
}

/** qemu-nbd on a raw file, past the page cache, every write durable before its answer: what our own front promises of its volume. */
export function startQemuOnDisk(folder: string, image: string): Promise<RunningServer> {
  const socket = resolve(folder, 'qemu-disk.sock');
  const args = ['-k', socket, '-f', 'raw', '-t', '-e', '8', '--cache=directsync', '--aio=io_uring', image];
  return startPeer('qemu-nbd', args, socket, async () => undefined);
}

/** What a server leaves of a raw file at depth 1 if it adds nothing to it but its wake-ups (bare-server.c). Needs a C compiler, like our addon. */
export async function startBareServer(folder: string, image: string): Promise<RunningServer> {
  const program = resolve(folder, 'bare-server');
  const socket = resolve(folder, 'bare.sock');
  await promisify(execFile)(process.env['CC'] ?? 'cc', ['-O2', '-o', program, join(import.meta.dirname, 'bare-server.c')]);
  return { ...(await startPeer(program, [image, socket], socket, async () => undefined)), name: BARE };
}

export async function startPeer(
  name: string,
  args: readonly string[],
  socket: string,
  cleanUp: () => Promise<void>,
): Promise<RunningServer> {
  const child: ChildProcess = spawn(name, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const failed = new Promise<never>((_, reject) => child.once('error', () => reject(missing(name))));
  const uri = `nbd+unix:///?socket=${socket}`;
  await Promise.race([waitFor(`${name} to listen`, 10_000, async () => await outputOf('nbdinfo', '--size', uri)), failed]);
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    await exited;
    await cleanUp();
  };
  return { name, uri, stop };
}
