// What a daemon runs with: its command line over its configuration file, and a later whole configuration in the file's place.
// Called by main files through bin/run-daemon.ts. A new configuration is taken whole or not at all.
import { PfError } from '../base/errors.ts';
import { canonicalJson, type Json } from '../base/json.ts';
import { parseConfigText, readConfig } from './config-values.ts';
import type { CommandSpec, FlagSpec, FlagValues } from './flag-spec.ts';
import { parseFlags, readWords, type ConfigValues } from './flags.ts';

export interface ParsedSettings<Flags extends Record<string, FlagSpec>> {
  readonly flags: FlagValues<Flags>;
  readonly arguments: readonly string[];
}

export class DaemonSettings<Flags extends Record<string, FlagSpec>> {
  readonly spec: CommandSpec<Flags>;
  readonly #argv: readonly string[];
  readonly #path: string;
  /** Of the file as it was read at the start; null when there was none. */
  readonly configText: string | null;
  #parsed: ParsedSettings<Flags>;

  private constructor(
    spec: CommandSpec<Flags>,
    argv: readonly string[],
    path: string,
    configText: string | null,
    parsed: ParsedSettings<Flags>,
  ) {
    this.spec = spec;
    this.configText = configText;
    this.#argv = argv;
    this.#path = path;
    this.#parsed = parsed;
  }

  /**
   * `read` gives the text of the file that --config names. Answers the text of the help when that is asked for.
   * Errors: INVALID_ARGUMENT naming the flag, or the file and the key; what `read` throws.
   */
  static async read<const Flags extends Record<string, FlagSpec>>(
    spec: CommandSpec<Flags>,
    argv: readonly string[],
    read: (path: string) => Promise<string>,
  ): Promise<DaemonSettings<Flags> | string> {
    const given = readWords(spec, argv);
    const path = given === 'help' ? undefined : (given.values['config'] as string | undefined);
    const text = path === undefined ? null : await read(path);
    const config = text === null ? null : parseConfigText(spec, path!, text);
    const parsed = parseFlags(spec, argv, config);
    return parsed.isHelp ? parsed.helpText : new DaemonSettings(spec, argv, path ?? 'the new configuration', text, parsed);
  }

  get flags(): FlagValues<Flags> {
    return this.#parsed.flags;
  }

  get arguments(): readonly string[] {
    return this.#parsed.arguments;
  }

  /**
   * Takes a whole configuration, and answers which flags have another value now. Errors: INVALID_ARGUMENT; INVALID_STATE naming the
   * flags that need a restart. After an error nothing is changed.
   */
  reconfigure(config: Json): readonly string[] {
    return this.#take(readConfig(this.spec, this.#path, config));
  }

  /** The same, from the text of the file. */
  reconfigureText(text: string): readonly string[] {
    return this.#take(parseConfigText(this.spec, this.#path, text));
  }

  #take(config: ConfigValues): readonly string[] {
    const next = this.#parse(config);
    const changed = Object.keys(this.spec.flags).filter((name) => !isSame(this.flags[name], next.flags[name]));
    const fixed = changed.filter((name) => this.spec.flags[name]!.isLive !== true);
    if (fixed.length > 0) {
      const names = fixed.map((name) => `"${name}"`).join(', ');
      throw new PfError(
        'INVALID_STATE',
        `cannot change ${names} while ${this.spec.name} runs: needs a restart; nothing was changed`,
      );
    }
    this.#parsed = next;
    return changed;
  }

  #parse(config: ConfigValues): ParsedSettings<Flags> {
    const parsed = parseFlags(this.spec, this.#argv, config);
    if (parsed.isHelp) throw new PfError('INTERNAL', 'a daemon that runs was not asked for help');
    return parsed;
  }
}

function isSame(one: unknown, other: unknown): boolean {
  return (
    one === other || (one !== undefined && other !== undefined && canonicalJson(one as Json) === canonicalJson(other as Json))
  );
}
