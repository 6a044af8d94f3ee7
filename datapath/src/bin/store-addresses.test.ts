// Where a store listens, on a machine of which one address is known: that of its loopback interface.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { storeAddresses, type AddressFlags } from './store-addresses.ts';

const LOOPBACK = '127.0.0.0/8';
const data = { host: '10.9.0.1', port: 49162 };

function failure(flags: AddressFlags): string {
  try {
    return JSON.stringify(storeAddresses(flags));
  } catch (error) {
    return (error as Error).message;
  }
}

test('without networks it listens where it is told; with them at its own address there', () => {
  assert.equal(storeAddresses({ data }), { dataAddress: '10.9.0.1:49162' });
  assert.equal(storeAddresses({ data, clientNetwork: LOOPBACK }), { dataAddress: '127.0.0.1:49162' });
  assert.equal(storeAddresses({ data, replicationNetwork: LOOPBACK }), {
    dataAddress: '10.9.0.1:49162',
    replicationAddress: '127.0.0.1:49162',
  });
});

test('one network for both is one door', () => {
  assert.equal(storeAddresses({ data, clientNetwork: LOOPBACK, replicationNetwork: LOOPBACK }), {
    dataAddress: '127.0.0.1:49162',
  });
});

test('what cannot be together is refused before anything is opened', () => {
  assert.is(
    failure({ data, advertise: 'store-1', clientNetwork: LOOPBACK }),
    'cannot take both --advertise store-1 and --client-network 127.0.0.0/8: the network says what others reach; leave one out',
  );
  assert.is(
    failure({ data: { host: '0.0.0.0', port: 49162 }, replicationNetwork: LOOPBACK }),
    "cannot serve other stores at 127.0.0.1 beside clients at 0.0.0.0:49162, which is every address: give --data the clients' address, or name their network by --client-network",
  );
});

test.run();
