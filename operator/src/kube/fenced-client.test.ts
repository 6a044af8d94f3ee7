import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { PfError } from '@pureflash/datapath/base';
import type { KubeClient } from './client.ts';
import { fencedClient } from './fenced-client.ts';

const READS = ['get', 'list', 'watch', 'hasKind', 'close'];

test('only the leader writes; everybody reads; every method is one or the other', async () => {
  const called: string[] = [];
  const client = new Proxy({}, { get: (_, name) => async () => void called.push(String(name)) }) as KubeClient;
  const leadership = { isLeader: true };
  const fenced = fencedClient(client, leadership);
  const methods = Object.keys(fenced) as (keyof KubeClient)[];
  const call = async (name: keyof KubeClient): Promise<string> => {
    return await Promise.resolve((fenced[name] as () => Promise<void>)()).then(
      () => 'done',
      (error: unknown) => (error as PfError).code,
    );
  };
  for (const name of methods) assert.is(await call(name), 'done', name);
  assert.equal(called, methods);
  leadership.isLeader = false;
  for (const name of methods) assert.is(await call(name), READS.includes(name) ? 'done' : 'FENCED', name);
});

test.run();
