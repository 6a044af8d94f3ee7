// Which of a machine's addresses lies in a network.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ownAddressIn, type OwnAddress } from './own-address.ts';

const ADDRESSES: readonly OwnAddress[] = [
  { address: '127.0.0.1', cidr: '127.0.0.1/8' },
  { address: '10.0.0.7', cidr: '10.0.0.7/24' },
  { address: '10.1.0.7', cidr: '10.1.0.7/16' },
  { address: '10.1.3.3', cidr: '10.1.3.3/32' },
  { address: '10.2.0.1', cidr: '10.2.0.1/32' },
  { address: '10.3.0.1', cidr: '10.3.0.1/24' },
  { address: '10.3.0.2', cidr: '10.3.0.2/24' },
  { address: 'fd00:1::7', cidr: 'fd00:1::7/64' },
];

function failure(network: string): string {
  try {
    return ownAddressIn(network, ADDRESSES);
  } catch (error) {
    const { code, message } = error as { code: string; message: string };
    return `${code}: ${message}`;
  }
}

test('the one address in the network', () => {
  assert.is(ownAddressIn('10.0.0.0/24', ADDRESSES), '10.0.0.7');
  assert.is(ownAddressIn('fd00:1::/64', ADDRESSES), 'fd00:1::7');
  assert.is(ownAddressIn('10.3.0.2/32', ADDRESSES), '10.3.0.2');
});

test('an address that wanders between machines counts only where there is no other', () => {
  assert.is(ownAddressIn('10.1.0.0/16', ADDRESSES), '10.1.0.7');
  assert.is(ownAddressIn('10.2.0.0/16', ADDRESSES), '10.2.0.1');
});

test('none and several are errors that say what there is', () => {
  assert.is(
    failure('192.168.0.0/16'),
    'NOT_FOUND: this machine has no address in network 192.168.0.0/16, only 127.0.0.1, 10.0.0.7, 10.1.0.7, 10.1.3.3, 10.2.0.1, 10.3.0.1, 10.3.0.2, fd00:1::7: bring its interface up, or name another network',
  );
  assert.is(
    failure('10.3.0.0/24'),
    'INVALID_ARGUMENT: this machine has several addresses in network 10.3.0.0/24 (10.3.0.1, 10.3.0.2): name a smaller network that holds one of them',
  );
});

test('what is no network is refused by name', () => {
  for (const text of [
    '',
    '10.0.0.0',
    '10.0.0.0/33',
    '10.0.0/8',
    'fd00::/129',
    '::/x',
    `${'1'.repeat(50)}/8`,
    '::ffff:10.0.0.0:/96',
  ])
    assert.is(failure(text), `INVALID_ARGUMENT: cannot read network "${text}": write it as 10.1.0.0/16 or fd00:1::/64`, text);
});

test.run();
