// The text of --help, made from a command's declaration. Called by flags.ts only.
import { formatSize } from '../base/sizes.ts';
import type { CommandSpec, FlagSpec } from './flag-spec.ts';

export function formatHelp(command: CommandSpec): string {
  const args = command.arguments ?? [];
  const usage = args.map((arg) => {
    const name = arg.isRepeated === true ? `${arg.name}...` : arg.name;
    return arg.isOptional === true ? `[${name}]` : name;
  });
  const lines = [`Usage: ${[command.name, ...usage, '[FLAGS]'].join(' ')}`, '', command.summary];
  if (args.length > 0) lines.push('', 'Arguments:', ...table(args.map((arg) => [arg.name, arg.help])));
  const flags = Object.entries(command.flags).map(([name, spec]) => [flagColumn(name, spec), helpColumn(spec)] as const);
  lines.push('', 'Flags:', ...table([...flags, ['-h, --help', 'show this text']]));
  if (command.examples !== undefined && command.examples.length > 0) {
    lines.push('', 'Examples:', ...command.examples.map((example) => `  ${example}`));
  }
  return `${lines.join('\n')}\n`;
}

function flagColumn(name: string, spec: FlagSpec): string {
  const short = spec.short === undefined ? '    ' : `-${spec.short}, `;
  return `${short}${flagText(name)} ${placeholderOf(spec)}`.trimEnd();
}

function helpColumn(spec: FlagSpec): string {
  const notes: string[] = [];
  if (spec.kind === 'string' && spec.choices !== undefined) notes.push(`one of ${spec.choices.join(', ')}`);
  if (spec.kind === 'list') notes.push('may be repeated');
  if (spec.kind !== 'boolean' && spec.isRequired === true) notes.push('required');
  if (spec.isLive === true) notes.push('can be changed while it runs');
  const fallback = describeDefault(spec);
  if (fallback !== '') notes.push(`default ${fallback}`);
  return notes.length === 0 ? spec.help : `${spec.help} (${notes.join('; ')})`;
}

function table(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
}

export function flagText(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

export function placeholderOf(spec: FlagSpec): string {
  if (spec.placeholder !== undefined) return spec.placeholder;
  const byKind = { string: 'TEXT', integer: 'N', size: 'SIZE', 'tcp-address': 'HOST:PORT', list: 'TEXT', boolean: '' };
  return byKind[spec.kind];
}

function describeDefault(spec: FlagSpec): string {
  if (spec.kind === 'list' || spec.default === undefined || spec.default === false) return '';
  if (spec.kind === 'size') return formatSize(spec.default);
  if (spec.kind === 'tcp-address')
    return spec.default.kind === 'tcp' ? `${spec.default.host}:${spec.default.port}` : spec.default.path;
  return String(spec.default);
}
