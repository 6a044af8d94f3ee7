// The control socket of `pureflash up`: other calls of the command see through it what it knows, and ask it to end.
import { ControlServer, askDaemon, controlSocketPath } from '@pureflash/datapath/daemon';
import type { Json } from '@pureflash/datapath/base';
import type { World } from '@pureflash/datapath/world';
import type { DataFolder } from '../host-paths.ts';
import type { InstanceReport } from '../instances.ts';

export const SUPERVISOR = 'pureflash';
const ANSWER_MS = 2000;

export interface SupervisorDump {
  readonly phase: string;
  readonly message: string;
  readonly instances: readonly InstanceReport[];
}

export function serveSupervisor(
  world: World,
  data: DataFolder,
  pid: number,
  handlers: { readonly dump: () => SupervisorDump; readonly stop: () => void },
): Promise<ControlServer> {
  return ControlServer.open(world, {
    socketPath: controlSocketPath(world, data.run, SUPERVISOR),
    name: SUPERVISOR,
    pid,
    handlers: {
      statedump: () => handlers.dump() as unknown as Json,
      stop: () => {
        handlers.stop();
        return null;
      },
    },
  });
}

/** Null: no `pureflash up` runs on this folder. Errors: TIMEOUT, and what it refuses with. */
export async function askSupervisor(
  world: World,
  data: DataFolder,
  operation: 'ping' | 'statedump' | 'stop',
): Promise<{ readonly pid: number; readonly body: Json } | null> {
  const socketPath = controlSocketPath(world, data.run, SUPERVISOR);
  try {
    return await askDaemon(world, { name: SUPERVISOR, socketPath }, operation, null, ANSWER_MS);
  } catch {
    return null; // Not there, or just going.
  }
}
