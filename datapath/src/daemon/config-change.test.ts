// What a new configuration means for a running process.
import { createHash } from 'node:crypto';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { canonicalJson } from '../base/json.ts';
import { compareConfigs, hashConfig } from './config-change.ts';

const world = { sha256: (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex') };

test('identical, live and restart follow from the two hashes', () => {
  const running = { whole: 'w1', restartPart: 'r1' };
  assert.is(compareConfigs(running, { whole: 'w1', restartPart: 'r1' }), 'identical');
  assert.is(compareConfigs(running, { whole: 'w2', restartPart: 'r1' }), 'live');
  assert.is(compareConfigs(running, { whole: 'w2', restartPart: 'r2' }), 'restart');
});

test('the order of keys does not matter, the order of lists and the types do', () => {
  assert.is(canonicalJson({ b: [1, { d: null, c: 'x' }], a: true }), '{"a":true,"b":[1,{"c":"x","d":null}]}');
  const hash = (whole: object): string => hashConfig(world, whole as never, null).whole;
  assert.is(hash({ a: 1, b: 2 }), hash({ b: 2, a: 1 }));
  for (const other of [{ a: [2, 1] }, { a: [1, '2'] }, { a: ['1,2'] }, { a: [1, 2], b: null }]) {
    assert.is.not(hash({ a: [1, 2] }), hash(other));
  }
});

test('the part for restarts counts in both hashes', () => {
  const one = hashConfig(world, { size: 1 }, { port: 1 });
  const other = hashConfig(world, { size: 1 }, { port: 2 });
  assert.is(compareConfigs(one, other), 'restart');
  assert.is.not(one.whole, other.whole);
  assert.match(one.whole, /^[0-9a-f]{64}$/);
});

test.run();
