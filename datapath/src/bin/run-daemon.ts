// What the main files of the daemons share: settings, log, control socket, signals, exit code.
import { exitCodeOf } from '../api/errors.ts';
import { errorCodeOf, formatErrorChain } from '../base/errors.ts';
import type { JsonObject } from '../base/json.ts';
import { watchConfig } from '../cli/config-watch.ts';
import { openDaemonControl } from '../cli/daemon-control.ts';
import type { DAEMON_FLAGS } from '../cli/daemon-flags.ts';
import { DaemonSettings } from '../cli/daemon-settings.ts';
import type { CommandSpec, FlagSpec, FlagValues } from '../cli/flag-spec.ts';
import type { Logger, LogLevel } from '../world/log.ts';
import { jsonLogger } from '../world/node/console-log.ts';
import type { World } from '../world/world.ts';
import { readConfigFile } from './read-config-file.ts';

type DaemonFlags = typeof DAEMON_FLAGS & Record<string, FlagSpec>;

type CommonFlags = FlagValues<typeof DAEMON_FLAGS>;

export interface RunningDaemon<Flags extends Record<string, FlagSpec>> {
  readonly world: World;
  /** Said on standard output, once it serves. */
  readonly title: string;
  readonly failed?: Promise<Error>;
  /** Takes over changed live flags, except the log level. */
  apply?(flags: FlagValues<Flags>): void;
  dump(): JsonObject;
  /** So long after it is told to end, the process ends whatever close() waits for. Default: close() has all the time. */
  readonly endMs?: number;
  /** Of everything but the world. */
  close(): Promise<void>;
}

/** Never rejects: it says on standard error why it ends. */
export async function runDaemon<const Flags extends DaemonFlags>(
  spec: CommandSpec<Flags>,
  start: (settings: DaemonSettings<Flags>, log: Logger) => Promise<RunningDaemon<Flags>>,
): Promise<void> {
  try {
    const settings = await DaemonSettings.read(spec, process.argv.slice(2), readConfigFile);
    if (typeof settings === 'string') process.stdout.write(settings);
    else await serve(settings, start);
  } catch (error) {
    process.stderr.write(`${spec.name}: ${formatErrorChain(error)}\n`);
    // An open world would keep the process alive.
    process.exit(exitCodeOf(errorCodeOf(error)));
  }
}

async function serve<Flags extends DaemonFlags>(
  settings: DaemonSettings<Flags>,
  start: (settings: DaemonSettings<Flags>, log: Logger) => Promise<RunningDaemon<Flags>>,
): Promise<void> {
  const { control: socketPath, config, watchConfig: isWatched, logLevel } = settings.flags as CommonFlags;
  const log = jsonLogger({ level: logLevel });
  const daemon = await start(settings, log);
  const apply = (): void => {
    log.setLevel(settings.flags['logLevel'] as LogLevel);
    daemon.apply?.(settings.flags);
  };
  const options = { settings, pid: process.pid, apply, dump: () => daemon.dump() };
  const control = socketPath === undefined ? null : await openDaemonControl(daemon.world, { ...options, socketPath });
  const { world } = daemon;
  const watch =
    isWatched && config !== undefined ? watchConfig(world, { settings, path: config, read: readConfigFile, apply }) : null;
  process.stdout.write(`${settings.spec.name}: ${daemon.title}\n`);
  const stop = async (): Promise<void> => {
    watch?.cancel();
    if (daemon.endMs !== undefined) world.clock.after(daemon.endMs, () => process.exit());
    await daemon.close();
    await control?.close();
    await world.close();
  };
  process.once('SIGINT', () => void stop());
  process.once('SIGTERM', () => void stop());
  void daemon.failed?.then(async (error) => {
    process.exitCode = exitCodeOf(errorCodeOf(error));
    await stop();
  });
}
