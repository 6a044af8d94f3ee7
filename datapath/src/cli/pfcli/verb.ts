// What a verb of pfcli is, and what it may use. A verb prints through its context and fails with a PfError.
import type { ConductorClient } from '../../api/conductor-client.ts';
import type { World } from '../../world/world.ts';
import { CONDUCTOR_FLAG } from '../conductor-flag.ts';
import { CLIENT_TOKEN_FILE_FLAG } from '../token-flag.ts';
import type { CommandSpec, FlagSpec, FlagValues } from '../flag-spec.ts';

/** The part of a world that talks to daemons; opened in a few milliseconds. */
export type ControlWorld = Pick<World, 'http' | 'clock' | 'random'>;

export interface VerbContext {
  readonly world: ControlWorld;
  readonly conductor: ConductorClient;
  readonly conductorAddresses: readonly string[];
  /** By which the conductor remembers what this program attaches. */
  readonly hostName: string;
  /** Prints one reply: as JSON with --json, otherwise the lines that `render` makes of it. */
  print<T>(reply: T, render: (reply: T) => string): void;
  /** Opens everything, data path included; closed when the verb ends. */
  openWholeWorld(): Promise<World>;
  /** Resolves when the user wants the program to end. */
  readonly interrupted: Promise<void>;
}

export interface Verb<Flags extends Record<string, FlagSpec> = Record<string, FlagSpec>> {
  readonly spec: CommandSpec<Flags>;
  /** Returns the exit code. */
  run(context: VerbContext, flags: FlagValues<Flags>): Promise<number>;
}

/** Gives a verb's `run` the types of its own flags, and every verb the common ones. */
export function verb<const Flags extends Record<string, FlagSpec>>(
  spec: CommandSpec<Flags>,
  run: (context: VerbContext, flags: FlagValues<Flags>) => Promise<number>,
): Verb {
  const whole = { ...spec, flags: { ...spec.flags, ...COMMON_FLAGS } };
  return { spec: whole, run: run as unknown as Verb['run'] };
}

export const COMMON_FLAGS = {
  conductor: CONDUCTOR_FLAG,
  tokenFile: CLIENT_TOKEN_FILE_FLAG,
  timeout: { kind: 'integer', minimum: 1, default: 3, help: 'seconds to wait for a conductor that can be reached' },
  json: { kind: 'boolean', help: "print the reply as JSON, with the conductor's field names" },
} as const satisfies Record<string, FlagSpec>;

export const VOLUME_FLAG = {
  kind: 'string',
  short: 'v',
  placeholder: 'NAME',
  isRequired: true,
  help: "the volume's name",
} as const satisfies FlagSpec;
