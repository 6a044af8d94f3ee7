// Lists in pages. A token says after which name the next page begins, so that what comes and goes in between moves nothing.
import { PfError } from '@pureflash/datapath/base';
import { RpcError } from '../rpc/status.ts';
import { isVolumeId } from './names.ts';

const PREFIX = 'after:';
/** As many as fit well into one message. */
const ENTRIES_MAX = 5_000;

/** `items` are sorted by name. Errors: ABORTED for a token that no page gave, INVALID_ARGUMENT. */
export function pageOf<T extends { readonly name: string }>(
  items: readonly T[],
  token: string,
  maxEntries: number,
): { readonly page: readonly T[]; readonly nextToken: string } {
  if (maxEntries < 0) throw new PfError('INVALID_ARGUMENT', `max_entries is ${maxEntries}: 0 or more wanted`);
  const after = readToken(token);
  const rest = after === null ? items : items.filter((each) => each.name > after);
  const page = rest.slice(0, maxEntries === 0 ? ENTRIES_MAX : Math.min(maxEntries, ENTRIES_MAX));
  return { page, nextToken: page.length < rest.length ? PREFIX + page.at(-1)!.name : '' };
}

function readToken(token: string): string | null {
  if (token === '') return null;
  const name = token.startsWith(PREFIX) ? token.slice(PREFIX.length) : '';
  if (isVolumeId(name)) return name;
  throw new RpcError('ABORTED', 'starting_token is none that this driver gave; list from the beginning');
}
