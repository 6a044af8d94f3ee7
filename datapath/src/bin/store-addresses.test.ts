// Where a store listens, on a machine of which one address is known: that of its loopback interface.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { storeAddresses, type AddressFlags } from './store-addresses.ts';

const LOOPBACK = '127.0.0.0/8';
const data = { host: '10.9.0.1', port: 49162 };
const http = { host: '10.9.0.1', port: 49181 };

/** What is watched while the store runs has no address that is written down. */
function addressesOf(flags: Omit<AddressFlags, 'http'>): object {
  const { lostNetwork, ...addresses } = storeAddresses({ http, ...flags });
  assert.is(lostNetwork === undefined, flags.clientNetwork === undefined && flags.replicationNetwork === undefined);
  assert.is(lostNetwork?.() ?? null, null, 'the loopback interface is there');
  return addresses;
}

function failure(flags: AddressFlags): string {
  try {
    return JSON.stringify(storeAddresses(flags));
  } catch (error) {
    return (error as Error).message;
  }
}

test('without networks it listens where it is told; with them at its own address there', () => {
  assert.equal(addressesOf({ data }), { dataAddress: '10.9.0.1:49162' });
  assert.equal(addressesOf({ data, clientNetwork: LOOPBACK }), { dataAddress: '127.0.0.1:49162' });
  assert.equal(addressesOf({ data, replicationNetwork: LOOPBACK }), {
    dataAddress: '10.9.0.1:49162',
    replicationAddress: '127.0.0.1:49162',
  });
});

test('one network for both is one door', () => {
  assert.equal(addressesOf({ data, clientNetwork: LOOPBACK, replicationNetwork: LOOPBACK }), {
    dataAddress: '127.0.0.1:49162',
  });
});

test('what cannot be together is refused before anything is opened', () => {
  assert.is(
    failure({ data, http, advertise: 'store-1', clientNetwork: LOOPBACK }),
    'cannot take both --advertise store-1 and --client-network 127.0.0.0/8: the network says what others reach; leave one out',
  );
  assert.is(
    failure({ data: { host: '0.0.0.0', port: 49162 }, http, replicationNetwork: LOOPBACK }),
    "cannot serve other stores at 127.0.0.1 beside clients at 0.0.0.0:49162, which is every address: give --data the clients' address, or name their network by --client-network",
  );
  assert.is(
    failure({ data, http: { host: '0.0.0.0', port: 49181 }, clientNetwork: LOOPBACK }),
    'cannot tell others where management is: with --client-network 127.0.0.0/8 give --http the address that conductors and stores reach, such as 10.0.0.7:49181',
  );
});

test.run();
