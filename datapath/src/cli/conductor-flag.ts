// The flag of every client of a cluster: where its conductors are.

const DEFAULT_CONDUCTOR = '127.0.0.1:49180';

export const CONDUCTOR_FLAG = {
  kind: 'list',
  short: 'c',
  placeholder: 'HOST:PORT',
  help: `a conductor; may be given several times (default: PUREFLASH_CONDUCTOR, or ${DEFAULT_CONDUCTOR})`,
} as const;

/** What was given, else the environment's list (separated by commas), else this machine. */
export function conductorAddresses(given: readonly string[], environment: Readonly<Record<string, string | undefined>>) {
  return given.length > 0 ? given : (environment['PUREFLASH_CONDUCTOR'] ?? DEFAULT_CONDUCTOR).split(',');
}
