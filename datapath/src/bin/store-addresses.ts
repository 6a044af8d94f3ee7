// Where a store listens: the addresses of its command line, or those that its machine has in the networks that it names.
import { networkInterfaces } from 'node:os';
import { formatHostPort, type HostPort } from '../api/host-port.ts';
import { PfError } from '../base/errors.ts';
import { ownAddressIn, type OwnAddress } from './own-address.ts';

export interface AddressFlags {
  readonly data: HostPort;
  readonly http: HostPort;
  readonly advertise?: string | undefined;
  readonly clientNetwork?: string | undefined;
  readonly replicationNetwork?: string | undefined;
}

export interface StoreAddresses {
  readonly dataAddress: string;
  /** Missing where other stores come to the clients' door. */
  readonly replicationAddress?: string;
  /** Missing where no network was named. */
  readonly lostNetwork?: () => string | null;
}

const EVERYWHERE: readonly string[] = ['0.0.0.0', '::'];

/** Both doors have one port number, so they are one door where the networks are one. Errors: those of own-address.ts; INVALID_ARGUMENT. */
export function storeAddresses(flags: AddressFlags): StoreAddresses {
  const { data, http, advertise, clientNetwork, replicationNetwork } = flags;
  if (advertise !== undefined && clientNetwork !== undefined) {
    throw new PfError(
      'INVALID_ARGUMENT',
      `cannot take both --advertise ${advertise} and --client-network ${clientNetwork}: the network says what others reach; leave one out`,
    );
  }
  if (clientNetwork !== undefined && EVERYWHERE.includes(http.host)) {
    throw new PfError(
      'INVALID_ARGUMENT',
      `cannot tell others where management is: with --client-network ${clientNetwork} give --http the address that conductors and stores reach, such as 10.0.0.7:${http.port}`,
    );
  }
  const addresses = ownAddresses();
  const client = clientNetwork === undefined ? data.host : ownAddressIn(clientNetwork, addresses);
  const replication = replicationNetwork === undefined ? client : ownAddressIn(replicationNetwork, addresses);
  const dataAddress = formatHostPort(client, data.port);
  const networks = [
    ...(clientNetwork === undefined ? [] : [{ network: clientNetwork, address: client }]),
    ...(replicationNetwork === undefined ? [] : [{ network: replicationNetwork, address: replication }]),
  ];
  const watched = networks.length === 0 ? {} : { lostNetwork: () => lostOf(networks) };
  if (replication === client) return { dataAddress, ...watched };
  if (EVERYWHERE.includes(client)) {
    throw new PfError(
      'INVALID_ARGUMENT',
      `cannot serve other stores at ${replication} beside clients at ${dataAddress}, which is every address: give --data the clients' address, or name their network by --client-network`,
    );
  }
  return { dataAddress, replicationAddress: formatHostPort(replication, data.port), ...watched };
}

/** Of interfaces that are up and have a carrier: a cable that is pulled takes its addresses away. */
const ownAddresses = (): readonly OwnAddress[] => Object.values(networkInterfaces()).flatMap((each) => each ?? []);

function lostOf(networks: readonly { readonly network: string; readonly address: string }[]): string | null {
  const there = ownAddresses();
  const lost = networks.find(({ address }) => !there.some((each) => each.address === address));
  return lost === undefined ? null : `network ${lost.network} is lost, with it this machine's address ${lost.address}`;
}
