// The text of the file that a daemon's --config names.
import { readFile } from 'node:fs/promises';
import { PfError } from '../base/errors.ts';

/** Error: NOT_FOUND, with the reason as its cause. */
export async function readConfigFile(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((error: unknown) => {
    throw new PfError('NOT_FOUND', `cannot read the configuration file ${path}`, { cause: error });
  });
}
