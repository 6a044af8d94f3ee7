// What a command declares of its flags and arguments, and the types of the values that parseFlags (flags.ts) gives back.
import type { Address } from '../world/network.ts';

interface FlagBase {
  /** One line, lower case, without a full stop. */
  readonly help: string;
  /** How the value is called in the help: "PATH". Default: the kind in capitals. */
  readonly placeholder?: string;
  /** One letter: "v" allows -v. */
  readonly short?: string;
  /** May be changed while the daemon runs; see daemon-settings.ts. */
  readonly isLive?: boolean;
  /** Has no place in a configuration file. */
  readonly isCommandLineOnly?: boolean;
}
interface StringFlag extends FlagBase {
  readonly kind: 'string';
  readonly default?: string;
  readonly isRequired?: boolean;
  readonly choices?: readonly string[];
}
export interface IntegerFlag extends FlagBase {
  readonly kind: 'integer';
  readonly default?: number;
  readonly isRequired?: boolean;
  readonly minimum?: number;
  readonly maximum?: number;
}
/** Bytes: "4096", "64k", "128G". */
interface SizeFlag extends FlagBase {
  readonly kind: 'size';
  readonly default?: number;
  readonly isRequired?: boolean;
}
/** "HOST:PORT"; an IPv6 host in brackets. */
interface TcpAddressFlag extends FlagBase {
  readonly kind: 'tcp-address';
  readonly default?: Address;
  readonly isRequired?: boolean;
}
/** Takes no value; `--no-flag` says false. */
export interface BooleanFlag extends FlagBase {
  readonly kind: 'boolean';
  readonly default?: boolean;
}
/** May be given several times. */
export interface ListFlag extends FlagBase {
  readonly kind: 'list';
  readonly isRequired?: boolean;
}
export type FlagSpec = StringFlag | IntegerFlag | SizeFlag | TcpAddressFlag | BooleanFlag | ListFlag;

export interface ArgumentSpec {
  /** In capitals, as shown: "SOURCE". */
  readonly name: string;
  readonly help: string;
  readonly isOptional?: boolean;
  /** Only for the last one: takes all that remain. */
  readonly isRepeated?: boolean;
}

export interface CommandSpec<Flags extends Record<string, FlagSpec> = Record<string, FlagSpec>> {
  /** As typed: "nbd-serve", "pfcli volume create". */
  readonly name: string;
  readonly summary: string;
  readonly arguments?: readonly ArgumentSpec[];
  readonly flags: Flags;
  /** Whole command lines, shown at the end of the help. */
  readonly examples?: readonly string[];
}

type RawValue<S extends FlagSpec> = S extends { kind: 'string'; choices: readonly (infer C)[] }
  ? C
  : S['kind'] extends 'string'
    ? string
    : S['kind'] extends 'integer' | 'size'
      ? number
      : S['kind'] extends 'tcp-address'
        ? Address & { kind: 'tcp' }
        : S['kind'] extends 'boolean'
          ? boolean
          : readonly string[];
type IsAlwaysSet<S extends FlagSpec> = S extends { kind: 'boolean' | 'list' } | { default: {} } | { isRequired: true }
  ? true
  : false;
export type FlagValues<Flags extends Record<string, FlagSpec>> = {
  readonly [Name in keyof Flags]: IsAlwaysSet<Flags[Name]> extends true
    ? RawValue<Flags[Name]>
    : RawValue<Flags[Name]> | undefined;
};
