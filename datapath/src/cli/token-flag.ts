// The flag for the cluster's API token, which is in a file so that it shows in no list of processes.
import { parseToken } from '../api/token-text.ts';
import { PfError } from '../base/errors.ts';

export const TOKEN_FILE_FLAG = {
  kind: 'string',
  placeholder: 'PATH',
  help: "file with the token that the cluster's HTTP interfaces want and that is sent to them; default: none",
} as const;

/** Of programs that also look into the environment. */
export const CLIENT_TOKEN_FILE_FLAG = {
  kind: 'string',
  placeholder: 'PATH',
  help: "file with the token of the cluster's HTTP interfaces (default: PUREFLASH_TOKEN_FILE, or none)",
} as const;

export function tokenFileOf(
  given: string | undefined,
  environment: Readonly<Record<string, string | undefined>>,
): string | undefined {
  const path = given ?? environment['PUREFLASH_TOKEN_FILE'];
  return path === '' ? undefined : path;
}

/** The token, or null without a path. `read` gives a file's text. Error INVALID_ARGUMENT: it cannot be read, or holds no token. */
export async function readToken(path: string | undefined, read: (path: string) => Promise<string>): Promise<string | null> {
  if (path === undefined) return null;
  const text = await read(path).catch((error: unknown) => {
    throw new PfError('INVALID_ARGUMENT', `cannot read the token file ${path}`, { cause: error });
  });
  return parseToken(text, path);
}
