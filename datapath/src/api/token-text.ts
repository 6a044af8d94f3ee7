// What a token file may hold. Read by every program that takes one.
import { PfError } from '../base/errors.ts';

const MIN_LENGTH = 16;
const MAX_LENGTH = 512;

/** The token in a file's text; `path` for the message. Error INVALID_ARGUMENT. */
export function parseToken(text: string, path: string): string {
  const token = text.trim();
  if (token.length >= MIN_LENGTH && token.length <= MAX_LENGTH && /^[!-~]+$/.test(token)) return token;
  throw new PfError(
    'INVALID_ARGUMENT',
    `cannot use the token in ${path}: ${MIN_LENGTH} to ${MAX_LENGTH} printable characters without spaces wanted, on one line; write one with: openssl rand -hex 32 > ${path}`,
  );
}
