// The address that this machine has in a network: how a daemon that is told networks instead of addresses finds its own.
import { BlockList, isIP } from 'node:net';
import { PfError } from '../base/errors.ts';

export interface OwnAddress {
  readonly address: string;
  /** With the length of its network: "10.1.0.7/16". */
  readonly cidr: string | null;
}

/**
 * Exactly one of `addresses` lies in `network`. Addresses of a single host's length wander between machines (as those of keepalived do), so
 * they count only where there is no other. Errors: INVALID_ARGUMENT for what is no network and for several addresses, NOT_FOUND for none.
 */
export function ownAddressIn(network: string, addresses: readonly OwnAddress[]): string {
  const isInside = matcherOf(network);
  const inside = addresses.filter(({ address }) => isInside(address));
  const steady = inside.filter(({ cidr }) => cidr === null || !/\/(32|128)$/.test(cidr));
  const found = [...new Set((steady.length > 0 ? steady : inside).map(({ address }) => address))];
  if (found.length === 1) return found[0]!;
  const known = addresses.map(({ address }) => address).join(', ');
  if (found.length === 0)
    throw new PfError(
      'NOT_FOUND',
      `this machine has no address in network ${network}, only ${known}: bring its interface up, or name another network`,
    );
  throw new PfError(
    'INVALID_ARGUMENT',
    `this machine has several addresses in network ${network} (${found.join(', ')}): name a smaller network that holds one of them`,
  );
}

function matcherOf(network: string): (address: string) => boolean {
  const match = /^([0-9A-Fa-f:.]{2,45})\/(\d{1,3})$/.exec(network);
  const family = match === null ? 0 : isIP(match[1]!);
  const length = Number(match?.[2]);
  if (match === null || family === 0 || length > (family === 4 ? 32 : 128))
    throw new PfError('INVALID_ARGUMENT', `cannot read network "${network}": write it as 10.1.0.0/16 or fd00:1::/64`);
  const list = new BlockList();
  const kind = family === 4 ? 'ipv4' : 'ipv6';
  list.addSubnet(match[1]!, length, kind);
  return (address) => isIP(address) === family && list.check(address, kind);
}
