// Command lines: a command declares its flags and arguments once, and gets typed values, --help text and errors that
// name the flag. Every program of bin/ and every subcommand of pfcli parses through here.
// Flags are written --some-flag VALUE or --some-flag=VALUE and declared in camel case (someFlag); `--` ends them.
// Nothing is printed and nothing exits: a failure is a PfError INVALID_ARGUMENT, help is a result.
import { PfError } from '../base/errors.ts';
import { parseSize } from '../base/sizes.ts';
import type { BooleanFlag, CommandSpec, FlagSpec, FlagValues, IntegerFlag, ListFlag } from './flag-spec.ts';
import { flagText, formatHelp, placeholderOf } from './help-text.ts';
import { parseTcpAddress } from './tcp-address.ts';

export type ParsedCommand<Flags extends Record<string, FlagSpec>> =
  | { readonly isHelp: true; readonly helpText: string }
  | { readonly isHelp: false; readonly flags: FlagValues<Flags>; readonly arguments: readonly string[] };

/** What a configuration file gives: values of flags, as config-values.ts reads them. Each counts where the command line says nothing. */
export interface ConfigValues {
  readonly path: string;
  readonly values: Readonly<Record<string, unknown>>;
}

/** `argv` without the program: process.argv.slice(2). Throws PfError INVALID_ARGUMENT naming the flag and what was wanted. */
export function parseFlags<const Flags extends Record<string, FlagSpec>>(
  spec: CommandSpec<Flags>,
  argv: readonly string[],
  config: ConfigValues | null = null,
): ParsedCommand<Flags> {
  const given = readWords(spec, argv);
  if (given === 'help') return { isHelp: true, helpText: formatHelp(spec) };
  const values = { ...config?.values, ...given.values };
  fillDefaults(spec, values, config);
  checkArguments(spec, given.words);
  return { isHelp: false, flags: values as FlagValues<Flags>, arguments: given.words };
}

/** What the words say, with nothing filled in. */
export function readWords(
  spec: CommandSpec,
  argv: readonly string[],
): { readonly values: Readonly<Record<string, unknown>>; readonly words: readonly string[] } | 'help' {
  const values: Record<string, unknown> = {};
  const words: string[] = [];
  let index = 0;
  while (index < argv.length) {
    const word = argv[index]!;
    index += 1;
    if (word === '--') {
      words.push(...argv.slice(index));
      break;
    }
    if (word === '--help' || word === '-h') return 'help';
    if (!word.startsWith('-') || word === '-') {
      words.push(word);
      continue;
    }
    const flag = findFlag(spec, word);
    if (flag.spec.kind === 'boolean') {
      if (flag.inlineValue !== undefined) {
        fail(
          `flag ${flag.shown} takes no value, but "${flag.inlineValue}" was given; write ${flag.shown} or --no-${flag.shown.slice(2)}`,
        );
      }
      values[flag.name] = !flag.isNegated;
      continue;
    }
    const text = flag.inlineValue ?? argv[index];
    if (text === undefined) fail(`flag ${flag.shown} needs a value: ${flag.shown} ${placeholderOf(flag.spec)}`);
    if (flag.inlineValue === undefined) index += 1;
    if (flag.spec.kind === 'list') ((values[flag.name] ??= []) as string[]).push(text);
    else if (flag.name in values) fail(`flag ${flag.shown} is given twice; give it once`);
    else values[flag.name] = readValue(`flag ${flag.shown}`, flag.spec, text);
  }
  return { values, words };
}

/**
 * Picks a subcommand: `commands` by its words ("volume create"), longest match first. Returns its name and the rest of argv.
 * Throws INVALID_ARGUMENT with a suggestion; `null` when help is asked for or nothing is given.
 */
export function findCommand(
  program: string,
  commands: readonly string[],
  argv: readonly string[],
): { name: string; rest: readonly string[] } | null {
  if (argv.length === 0 || argv[0] === '--help' || argv[0] === '-h' || argv[0] === 'help') return null;
  const sorted = [...commands].sort((a, b) => b.split(' ').length - a.split(' ').length);
  for (const name of sorted) {
    const words = name.split(' ');
    if (words.every((word, i) => argv[i] === word)) return { name, rest: argv.slice(words.length) };
  }
  const firstFlag = argv.findIndex((word) => word.startsWith('-'));
  const typed = (firstFlag < 0 ? argv : argv.slice(0, firstFlag)).slice(0, 2).join(' ');
  const nearest = suggestionFor(typed, commands);
  const advice = nearest === null ? `see ${program} --help` : `did you mean "${nearest}"?`;
  fail(`unknown command "${typed}"; ${advice}`);
}

/** The nearest of `candidates` in edit distance, or null when none is near. */
export function suggestionFor(typed: string, candidates: readonly string[]): string | null {
  let best: string | null = null;
  let bestDistance = Math.max(2, Math.floor(typed.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = candidate.startsWith(typed) && typed.length > 2 ? 1 : editDistance(typed, candidate);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

interface FoundFlag {
  readonly name: string;
  readonly shown: string;
  readonly spec: FlagSpec;
  readonly isNegated: boolean;
  readonly inlineValue: string | undefined;
}

function findFlag(command: CommandSpec, word: string): FoundFlag {
  const equals = word.indexOf('=');
  const typed = equals < 0 ? word : word.slice(0, equals);
  const inlineValue = equals < 0 ? undefined : word.slice(equals + 1);
  for (const [name, spec] of Object.entries(command.flags)) {
    const shown = flagText(name);
    const isNegated = spec.kind === 'boolean' && typed === `--no-${shown.slice(2)}`;
    if (typed === shown || isNegated || (spec.short !== undefined && typed === `-${spec.short}`)) {
      return { name, shown, spec, isNegated, inlineValue };
    }
  }
  const nearest = suggestionFor(typed, [...Object.keys(command.flags).map(flagText), '--help']);
  const advice = nearest === null ? `see ${command.name} --help` : `did you mean ${nearest}?`;
  return fail(`unknown flag ${typed}; ${advice}`);
}

/** `subject`: what the value is of, as errors call it. */
export function readValue(subject: string, spec: Exclude<FlagSpec, BooleanFlag | ListFlag>, text: string): unknown {
  if (spec.kind === 'string') {
    if (spec.choices !== undefined && !spec.choices.includes(text)) {
      fail(`${subject} is "${text}", wanted one of: ${spec.choices.join(', ')}`);
    }
    return text;
  }
  if (spec.kind === 'integer') return readInteger(subject, spec, text);
  try {
    return spec.kind === 'size' ? parseSize(text) : parseTcpAddress(text);
  } catch (error) {
    fail(`${subject}: ${(error as Error).message}`);
  }
}

function readInteger(subject: string, spec: IntegerFlag, text: string): number {
  const value = /^-?\d+$/.test(text) ? Number(text) : NaN;
  const minimum = spec.minimum ?? Number.MIN_SAFE_INTEGER;
  const maximum = spec.maximum ?? Number.MAX_SAFE_INTEGER;
  if (!(value >= minimum && value <= maximum)) {
    const isBounded = spec.minimum !== undefined || spec.maximum !== undefined;
    const wanted = isBounded ? `a whole number from ${spec.minimum ?? 'any'} to ${spec.maximum ?? 'any'}` : 'a whole number';
    fail(`${subject} is "${text}", wanted ${wanted}`);
  }
  return value;
}

function fillDefaults(command: CommandSpec, values: Record<string, unknown>, config: ConfigValues | null): void {
  for (const [name, spec] of Object.entries(command.flags)) {
    if (name in values) continue;
    if (spec.kind !== 'boolean' && spec.isRequired === true) {
      const place = config === null ? '' : `, here or as "${name}" in ${config.path}`;
      fail(`flag ${flagText(name)} ${placeholderOf(spec)} is required${place}: ${spec.help}`);
    }
    if (spec.kind === 'boolean') values[name] = spec.default ?? false;
    else if (spec.kind === 'list') values[name] = [];
    else values[name] = spec.default;
  }
}

function checkArguments(command: CommandSpec, words: readonly string[]): void {
  const specs = command.arguments ?? [];
  const needed = specs.filter((spec) => spec.isOptional !== true);
  if (words.length < needed.length) {
    const missing = needed[words.length]!;
    fail(`${missing.name} is missing: ${missing.help}`);
  }
  const takesMore = specs.at(-1)?.isRepeated === true;
  if (words.length > specs.length && !takesMore) {
    const wanted = specs.length === 0 ? 'no argument is taken' : `only ${specs.map((spec) => spec.name).join(' ')} is taken`;
    fail(`unexpected argument "${words[specs.length]}": ${wanted}`);
  }
}

function fail(message: string): never {
  throw new PfError('INVALID_ARGUMENT', message);
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(replaced, previous[j]! + 1, row[j - 1]! + 1));
    }
    previous = row;
  }
  return previous[b.length]!;
}
