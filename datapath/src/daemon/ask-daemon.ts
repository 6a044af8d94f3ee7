// One question to a daemon at its control socket, without a service: for tools that only look, beside a manager or without one.
import { PfError } from '../base/errors.ts';
import type { Json } from '../base/json.ts';
import type { World } from '../world/world.ts';
import { askPid, Connection, DEFAULT_CONNECTION_TIMINGS } from './connection.ts';

export interface DaemonAnswer {
  readonly pid: number;
  readonly body: Json;
}

/** Errors: CONNECTION_LOST when nobody of that name answers at the socket; TIMEOUT; what the daemon refuses with. */
export async function askDaemon(
  world: World,
  daemon: { readonly name: string; readonly socketPath: string },
  operation: string,
  body: Json,
  timeoutMs: number,
): Promise<DaemonAnswer> {
  const { name, socketPath } = daemon;
  const pid = await askPid(world, socketPath, name, timeoutMs);
  if (pid === null)
    throw new PfError('CONNECTION_LOST', `cannot ask ${name} to "${operation}": nobody of that name answers at ${socketPath}`);
  const opened = Promise.withResolvers<void>();
  const timings = { ...DEFAULT_CONNECTION_TIMINGS, pingTimeoutMs: timeoutMs };
  const connection = new Connection(world, {
    name,
    socketPath,
    timings,
    onEvent: (event) => {
      if (event.kind === 'connected') opened.resolve();
    },
  });
  const timer = world.clock.after(timeoutMs, () => {
    opened.reject(new PfError('TIMEOUT', `${name} did not answer within ${timeoutMs} ms at ${socketPath}`));
  });
  try {
    connection.connect();
    await opened.promise;
    return { pid, body: await connection.request(operation, body, timeoutMs) };
  } finally {
    timer.cancel();
    connection.destroy();
  }
}
