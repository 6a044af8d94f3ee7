// The control socket of a daemon of ours (docs of the protocol: daemon/README.md). Called by bin/run-daemon.ts, once the daemon serves.
//   ping         alive
//   identity     {name, program, pid}
//   reconfigure  a whole configuration: what can change is changed, everything else is refused by name ("needs a restart")
//   statedump    what the daemon holds: bounded, and without secrets
import type { Json, JsonObject } from '../base/json.ts';
import { ControlServer } from '../daemon/control-server.ts';
import type { World } from '../world/world.ts';
import type { DaemonSettings } from './daemon-settings.ts';
import type { FlagSpec } from './flag-spec.ts';

export interface DaemonControlOptions<Flags extends Record<string, FlagSpec>> {
  readonly settings: DaemonSettings<Flags>;
  readonly socketPath: string;
  readonly pid: number;
  /** Called after a change of live flags; looks at `settings.flags`. It must not fail. */
  readonly apply: () => void;
  readonly dump: () => JsonObject;
}

export function openDaemonControl<Flags extends Record<string, FlagSpec>>(
  world: World,
  options: DaemonControlOptions<Flags>,
): Promise<ControlServer> {
  const { settings, pid, socketPath } = options;
  const program = settings.spec.name;
  const name = (settings.flags['controlName'] as string | undefined) ?? program;
  const startedAt = world.clock.now();
  const reconfigure = (config: Json): Json => {
    const changed = settings.reconfigure(config);
    options.apply();
    if (changed.length > 0) world.log.info('the configuration was changed', { changed });
    return { changed };
  };
  const statedump = (): Json => ({
    name,
    program,
    pid,
    upForMs: Math.round(world.clock.now() - startedAt),
    ports: world.ports,
    flags: settings.flags as JsonObject,
    state: options.dump(),
  });
  const handlers = { identity: () => ({ name, program, pid }), reconfigure, statedump };
  return ControlServer.open(world, { socketPath, name, pid, handlers });
}
