// How every daemon of ours is started by its manager: configuration and control socket by flags; and which part of its configuration
// asks for a restart. Called by the kinds.
import type { Json, JsonObject } from '@pureflash/datapath/base';
import type { Command, DaemonPlace } from '@pureflash/datapath/daemon';

export function daemonCommand(programs: string, program: string, place: DaemonPlace, words: readonly string[] = []): Command {
  const { configPath, socketPath, name } = place;
  const args = [...words, '--config', configPath, '--control', socketPath, '--control-name', name];
  return { program: `${programs}/${program}`, args };
}

/** All but the keys that the daemon takes over while it runs. */
export function restartPart(config: JsonObject, live: readonly string[]): Json {
  return Object.fromEntries(Object.entries(config).filter(([key]) => !live.includes(key)));
}
