// Where a store listens: the addresses of its command line, or those that its machine has in the networks that it names.
import { networkInterfaces } from 'node:os';
import { formatHostPort, type HostPort } from '../api/host-port.ts';
import { PfError } from '../base/errors.ts';
import { ownAddressIn } from './own-address.ts';

export interface AddressFlags {
  readonly data: HostPort;
  readonly advertise?: string | undefined;
  readonly clientNetwork?: string | undefined;
  readonly replicationNetwork?: string | undefined;
}

export interface StoreAddresses {
  readonly dataAddress: string;
  /** Missing where other stores come to the clients' door. */
  readonly replicationAddress?: string;
}

const EVERYWHERE: readonly string[] = ['0.0.0.0', '::'];

/** Both doors have one port number, so they are one door where the networks are one. Errors: those of own-address.ts; INVALID_ARGUMENT. */
export function storeAddresses({ data, advertise, clientNetwork, replicationNetwork }: AddressFlags): StoreAddresses {
  if (advertise !== undefined && clientNetwork !== undefined) {
    throw new PfError(
      'INVALID_ARGUMENT',
      `cannot take both --advertise ${advertise} and --client-network ${clientNetwork}: the network says what others reach; leave one out`,
    );
  }
  const addresses = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  const client = clientNetwork === undefined ? data.host : ownAddressIn(clientNetwork, addresses);
  const replication = replicationNetwork === undefined ? client : ownAddressIn(replicationNetwork, addresses);
  const dataAddress = formatHostPort(client, data.port);
  if (replication === client) return { dataAddress };
  if (EVERYWHERE.includes(client)) {
    throw new PfError(
      'INVALID_ARGUMENT',
      `cannot serve other stores at ${replication} beside clients at ${dataAddress}, which is every address: give --data the clients' address, or name their network by --client-network`,
    );
  }
  return { dataAddress, replicationAddress: formatHostPort(replication, data.port) };
}
