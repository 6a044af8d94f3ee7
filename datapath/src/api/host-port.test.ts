// Addresses that peers give of themselves.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { isHost, isReachableAddress } from './host-port.ts';

test('what can be connected to is an address', () => {
  for (const text of ['10.0.0.7:49162', 'store-1.example:1', '[::1]:65535', '[fd00::12:3]:49162', 'a:80'])
    assert.is(isReachableAddress(text), true, text);
});

test('what cannot is refused at the door', () => {
  const wrong = [
    '10.0.0.7',
    '10.0.0.7:0',
    '10.0.0.7:65536',
    '127.0.0.1:99999',
    ':80',
    '[10.0.0.7:49162]:49162',
    '[]:1',
    '[:]:1',
    'a b:1',
  ];
  for (const text of [...wrong, '::1:80', `${'a'.repeat(256)}:80`, 'x/y:80']) assert.is(isReachableAddress(text), false, text);
});

test('a host stands without a port and without brackets', () => {
  for (const text of ['10.0.0.7', 'store-1.example', '::1', 'fd00::12:3']) assert.is(isHost(text), true, text);
  for (const text of ['10.0.0.7:49162', '[::1]', '', 'a b', 'x/y', 'é']) assert.is(isHost(text), false, text);
});

test.run();
