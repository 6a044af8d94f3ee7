import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { PfError } from '@pureflash/datapath/base';
import { ManualClock } from '../runtime/testing/manual-clock.ts';
import { ResourceMap, type ResourceInfo } from './resource-map.ts';

function open() {
  const clock = new ManualClock();
  const served = new Map<string, Map<string, ResourceInfo>>([
    [
      '/api/v1',
      new Map([
        ['Node', { plural: 'nodes', isNamespaced: false }],
        ['Pod', { plural: 'pods', isNamespaced: true }],
      ]),
    ],
  ]);
  const asked: string[] = [];
  const map = new ResourceMap(clock, async (path) => {
    asked.push(path);
    return served.get(path) ?? null;
  });
  return { clock, served, asked, map };
}

test('paths: core and groups, with and without namespaces, names escaped', async () => {
  const { map, served } = open();
  served.set('/apis/apps/v1', new Map([['StatefulSet', { plural: 'statefulsets', isNamespaced: true }]]));
  assert.is(await map.collectionPath('v1', 'Pod', undefined), '/api/v1/pods');
  assert.is(await map.collectionPath('v1', 'Pod', 'ns'), '/api/v1/namespaces/ns/pods');
  assert.is(await map.objectPath({ apiVersion: 'v1', kind: 'Node', namespace: 'ignored', name: 'n/1' }), '/api/v1/nodes/n%2F1');
  assert.is(
    await map.objectPath({ apiVersion: 'apps/v1', kind: 'StatefulSet', namespace: 'ns', name: 's' }),
    '/apis/apps/v1/namespaces/ns/statefulsets/s',
  );
  const code = await map.objectPath({ apiVersion: 'v1', kind: 'Pod', name: 'p' }).catch((error: PfError) => error.code);
  assert.is(code, 'INVALID_ARGUMENT');
});

test('asked once a minute for known kinds, every two seconds for missing ones, and once for many at a time', async () => {
  const { clock, served, asked, map } = open();
  assert.equal(await Promise.all([map.hasKind('v1', 'Pod'), map.hasKind('v1', 'Node'), map.hasKind('v1', 'Pod')]), [
    true,
    true,
    true,
  ]);
  assert.is(asked.length, 1);
  await clock.advance(59_000);
  await map.hasKind('v1', 'Pod');
  assert.is(asked.length, 1);
  await clock.advance(1_000);
  await map.hasKind('v1', 'Pod');
  assert.is(asked.length, 2);
  assert.not(await map.hasKind('x.io/v1', 'Thing'));
  assert.not(await map.hasKind('x.io/v1', 'Thing'));
  assert.is(asked.length, 3);
  served.set('/apis/x.io/v1', new Map([['Thing', { plural: 'things', isNamespaced: true }]]));
  await clock.advance(2_000);
  assert.ok(await map.hasKind('x.io/v1', 'Thing'));
  map.forget('x.io/v1');
  served.delete('/apis/x.io/v1');
  const code = await map.collectionPath('x.io/v1', 'Thing', 'ns').catch((error: PfError) => error.code);
  assert.is(code, 'UNSUPPORTED');
});

test.run();
