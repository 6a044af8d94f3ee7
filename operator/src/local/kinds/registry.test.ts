// The daemons of the local platform: their names and command lines, what changes while they run, and in which order they end.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createRegistry, kindOf, stopRank } from './registry.ts';

const registry = createRegistry('/programs');
const place = { name: 'x', socketPath: '/run/x.sock', configPath: '/run/x.json' };
const BY_FLAGS = ['--config', '/run/x.json', '--control', '/run/x.sock', '--control-name', 'x'];

test('every kind has its program, which gets configuration and control socket by flags', () => {
  const store = registry.define('store', null, { host: 'a' }, 'host-1');
  assert.is(store.name, 'store/host-1');
  assert.equal(store.command(place), { program: '/programs/pfstore', args: BY_FLAGS });
  const conductor = registry.define('conductor', null, {}, '0');
  assert.is(conductor.name, 'conductor/0');
  assert.equal(conductor.command(place), { program: '/programs/pfconductor', args: BY_FLAGS });
  const front = registry.define('front', 'v1', { unix: '/v1.sock' });
  assert.is(front.name, 'front/v1');
  assert.equal(front.command(place), { program: '/programs/nbd-serve', args: ['volume:v1', ...BY_FLAGS] });
});

test('what a daemon takes over while it runs asks for no restart, and everything else does', () => {
  const config = { host: 'a', logLevel: 'info', recoveryParallel: 4 };
  assert.equal(registry.define('store', null, config, 'host-1').restartPart, { host: 'a' });
  assert.equal(registry.define('conductor', null, config, '0').restartPart, { host: 'a', recoveryParallel: 4 });
  assert.equal(registry.define('front', 'v1', config).restartPart, { host: 'a', recoveryParallel: 4 });
});

test('fronts end before stores, stores before conductors, and what nobody knows last', () => {
  const names = ['conductor/0', 'other/1', 'store/host-1', 'front/v1'];
  const sorted = names.toSorted((a, b) => stopRank(registry, a) - stopRank(registry, b));
  assert.equal(sorted.map(kindOf), ['front', 'store', 'conductor', 'other']);
});

test.run();
