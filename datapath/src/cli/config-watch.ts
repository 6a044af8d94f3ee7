// Looks at a daemon's configuration file while it runs, for managers that can only change the file (a mounted ConfigMap): what can change
// is taken over, the rest is said and left. Called by bin/run-daemon.ts.
import { formatErrorChain } from '../base/errors.ts';
import type { Timer } from '../world/clock.ts';
import type { World } from '../world/world.ts';
import type { DaemonSettings } from './daemon-settings.ts';
import type { FlagSpec } from './flag-spec.ts';

export const CONFIG_PERIOD_MS = 5_000;

export interface ConfigWatchOptions<Flags extends Record<string, FlagSpec>> {
  readonly settings: DaemonSettings<Flags>;
  readonly path: string;
  readonly read: (path: string) => Promise<string>;
  /** After a change; looks at `settings.flags`. */
  readonly apply: () => void;
}

/** Cancel the result to end it. A file that cannot be read or taken is complained of once, until it changes. */
export function watchConfig<Flags extends Record<string, FlagSpec>>(
  world: Pick<World, 'clock' | 'log'>,
  options: ConfigWatchOptions<Flags>,
): Timer {
  const { settings, path, read, apply } = options;
  let known = settings.configText;
  let isLooking = false;
  const look = async (): Promise<void> => {
    if (isLooking) return;
    isLooking = true;
    const text = await read(path).catch((error: unknown) => `unreadable: ${formatErrorChain(error)}`);
    isLooking = false;
    if (text === known) return;
    known = text;
    try {
      const changed = settings.reconfigureText(text);
      if (changed.length === 0) return;
      apply();
      world.log.info('the configuration was changed', { changed });
    } catch (error) {
      world.log.warn(`the configuration file is not taken over: ${formatErrorChain(error)}`);
    }
  };
  return world.clock.every(CONFIG_PERIOD_MS, () => void look());
}
