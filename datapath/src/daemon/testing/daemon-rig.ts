// What the tests of this folder share: a world with its folders, definitions of the test daemon, and the certainty that no process stays.
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { silentLogger } from '../../world/log.ts';
import { openNodeWorld } from '../../world/node/node-world.ts';
import type { World } from '../../world/world.ts';
import type { JsonObject } from '../../base/json.ts';
import { RecordFolder } from '../process-record.ts';
import { Service, type ServiceDefinition, type ServicePlaces, type ServiceTimings } from '../service.ts';

export type DaemonMode = 'normal' | 'slow-start' | 'fail-on-init' | 'ignore-sigterm' | 'no-socket';

export const DAEMON = fileURLToPath(new URL('../testdata/daemon.ts', import.meta.url));

/** Short, for a busy machine: a node process takes some 200 ms to start, and ten times that when others do. */
export const TEST_TIMINGS: Partial<ServiceTimings> = {
  firstRetryMs: 10,
  maxRetryMs: 50,
  pingIntervalMs: 200,
  pingTimeoutMs: 2000,
  onlineMs: 15_000,
  termMs: 3000,
  killMs: 5000,
};

export const QUICK_RESTART = { mode: 'always', firstDelayMs: 10, maxDelayMs: 100, stableAfterMs: 60_000, crashLimit: 3 } as const;

export interface Rig {
  readonly world: World;
  readonly folder: string;
  readonly places: ServicePlaces;
  /** Closed with the rig. */
  open(definition: ServiceDefinition): Promise<Service>;
}

/** The test body for uvu: afterwards no process of it is left, whatever happened. */
export function inRig(body: (rig: Rig) => Promise<void>): () => Promise<void> {
  return async () => {
    const folder = mkdtempSync(join(tmpdir(), 'pfd-'));
    const world = await openNodeWorld({
      log: silentLogger,
      ports: process.env['PF_PORTS'] === 'io_uring' ? 'io_uring' : 'libuv',
      memoryBytes: 32 * 1024 * 1024,
    });
    const alive = world.clock.every(1000, () => {}); // Detached children keep no program alive.
    const services: Service[] = [];
    const places = { records: new RecordFolder(world, folder), runFolder: folder, logFolder: folder };
    try {
      const open = async (definition: ServiceDefinition): Promise<Service> => {
        const service = await Service.open(world, places, definition);
        services.push(service);
        return service;
      };
      await body({ world, folder, places, open });
    } finally {
      for (const service of services) await service.close();
      alive.cancel();
      for (const pid of processesOf(folder)) process.kill(pid, 'SIGKILL');
      await world.close();
      rmSync(folder, { recursive: true, force: true });
    }
  };
}

/** A service that runs the test daemon. */
export function define(
  name: string,
  config: JsonObject = {},
  options: Partial<ServiceDefinition> & { mode?: DaemonMode } = {},
): ServiceDefinition {
  const { mode = 'normal', ...rest } = options;
  return {
    name,
    config,
    policy: QUICK_RESTART,
    timings: TEST_TIMINGS,
    command: ({ socketPath, configPath }) => ({ program: process.execPath, args: [DAEMON, mode, name, socketPath, configPath] }),
    ...rest,
  };
}

/** The living processes whose command line names the folder: all of a rig's daemons. */
export function processesOf(folder: string): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry) && Number(entry) !== process.pid)
    .filter(
      (entry) => readOrEmpty(`/proc/${entry}/cmdline`).includes(folder) && !/\) [ZX] /.test(readOrEmpty(`/proc/${entry}/stat`)),
    )
    .map(Number);
}

export function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

export async function messageOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'nothing',
    (error: unknown) => `${(error as { code?: string }).code}: ${(error as Error).message}`,
  );
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}
