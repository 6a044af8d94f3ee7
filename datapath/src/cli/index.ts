// The door of the command lines' grammar, for programs of other workspaces that want to look and to fail alike.
export type { ArgumentSpec, CommandSpec, FlagSpec, FlagValues } from './flag-spec.ts';
export { readToken } from './token-flag.ts';
export { findCommand, parseFlags, suggestionFor, type ParsedCommand } from './flags.ts';
