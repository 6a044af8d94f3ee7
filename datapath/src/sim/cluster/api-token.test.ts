// The token around the HTTP interfaces of a conductor and a store: who gets in, and what stays open.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { PfError } from '../../base/errors.ts';
import { startConductor } from '../../conductor/conductor.ts';
import { Simulator } from '../simulator.ts';
import { startStore } from '../../store/store.ts';
import type { World } from '../../world/world.ts';
import { withToken } from '../../api/api-token.ts';
import { ConductorClient } from '../../api/conductor-client.ts';
import { StoreClient } from '../../api/store-client.ts';

const TOKEN = 'correct-horse-battery-staple';
const WRONG = 'correct-horse-battery-stapl3';
const MiB = 1024 * 1024;

interface Cluster {
  readonly sim: Simulator;
  readonly conductor: string;
  readonly store: string;
  ask<T>(work: (world: World) => Promise<T>): Promise<T>;
}

/** A conductor and a store that know these tokens, or none. */
async function start(seed: number, conductorToken: string | null, storeToken: string | null): Promise<Cluster> {
  const sim = new Simulator(seed, { memoryBytes: 8 * MiB });
  const wrap = (world: World, token: string | null): World => (token === null ? world : withToken(world, token));
  const [conductorHost, storeHost, clientHost] = ['conductor', 'store', 'client'].map((name) => sim.machine(name));
  storeHost!.addDisk('/dev/disk', { sizeBytes: 192 * MiB });
  const conductor = `${conductorHost!.address}:49180`;
  await conductorHost!
    .startProcess('pfconductor', () => Promise.resolve())
    .perform((world) =>
      startConductor(wrap(world, conductorToken), {
        dataFolder: '/data',
        host: '0.0.0.0',
        port: 49180,
        clusterName: 'test',
        allowSameHost: false,
      }),
    );
  await storeHost!
    .startProcess('pfstore', () => Promise.resolve())
    .perform((world) =>
      startStore(wrap(world, storeToken), {
        disks: [{ path: '/dev/disk' }],
        host: 'a',
        dataAddress: '0.0.0.0:49162',
        httpAddress: '0.0.0.0:49181',
        advertisedHost: storeHost!.address,
        conductors: [conductor],
        format: 'blank-only',
      }),
    );
  const client = clientHost!.startProcess('client', () => Promise.resolve());
  await sim.run(sim.now + 1500);
  return { sim, conductor, store: `${storeHost!.address}:49181`, ask: (work) => client.perform(work) };
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'OK',
    (error: PfError) => error.code,
  );
}

test('with the token everything works, between the daemons too; without it, or with another one, nothing does', async () => {
  const { ask, conductor, store } = await start(1, TOKEN, TOKEN);
  const created = await ask(async (world) => {
    const client = new ConductorClient(world, [conductor], { token: TOKEN });
    await client.createVolume('v1', { sizeBytes: 8 * MiB });
    return client.openVolume('v1');
  });
  assert.is(created.attach_epoch, 1, 'the conductor has told the store, and the store has told the conductor that it lives');
  for (const token of [undefined, WRONG, `${TOKEN}x`, TOKEN.slice(1)]) {
    const options = token === undefined ? {} : { token };
    assert.is(await ask((world) => codeOf(new ConductorClient(world, [conductor], options).listVolume())), 'PERMISSION_DENIED');
    assert.is(await ask((world) => codeOf(new StoreClient(world, store, options).getStatus())), 'PERMISSION_DENIED');
  }
  assert.is(await ask((world) => codeOf(new StoreClient(world, store, { token: TOKEN }).getStatus())), 'OK');
});

test('a refusal is status 401 and says what to do; pages for people and monitors stay open', async () => {
  const { ask, conductor, store } = await start(2, TOKEN, TOKEN);
  const get = (address: string, target: string, headers: Readonly<Record<string, string>> = {}) =>
    ask(async (world) => {
      const [host, port] = address.split(':');
      const call = { method: 'GET', host: host!, port: Number(port), target, headers, timeoutMs: 1000 } as const;
      const answer = await world.http.request(call);
      return { ...answer, text: new TextDecoder().decode(answer.body) };
    });
  const bare = await get(conductor, '/s5c/?op=list_volume');
  assert.is(bare.status, 401);
  assert.is(bare.headers?.['www-authenticate'], 'Bearer');
  const reply = JSON.parse(bare.text) as Record<string, unknown>;
  assert.equal([reply['op'], reply['code'], reply['ret_code']], ['list_volume_reply', 'PERMISSION_DENIED', 19]);
  assert.match(reply['reason'] as string, /it carries no token: give the file that holds it with --token-file/);
  for (const header of [`Bearer ${WRONG}`, `Basic ${TOKEN}`, TOKEN, 'Bearer', 'Bearer ', '']) {
    assert.is((await get(conductor, '/s5c?op=list_volume', { authorization: header })).status, 401, header);
  }
  assert.is((await get(conductor, '/s5c/?op=list_volume', { authorization: `bearer  ${TOKEN}` })).status, 200);
  for (const target of ['/s5c/more', '/api', '/api/', '/api/x?op=get_status'])
    assert.is((await get(store, target)).status, 401, target);
  for (const target of ['/', '/metrics', '/healthz']) assert.is((await get(conductor, target)).status, 200, target);
  for (const target of ['/metrics', '/healthz']) assert.is((await get(store, target)).status, 200, target);
});

test('a store with another token than the conductor never becomes part of the cluster', async () => {
  const { ask, conductor } = await start(3, TOKEN, WRONG);
  const stores = await ask((world) => new ConductorClient(world, [conductor], { token: TOKEN }).listStore());
  assert.equal(stores, []);
});

test('without a token everything is as before, also for clients that send one', async () => {
  const { ask, conductor } = await start(4, null, null);
  assert.is((await ask((world) => new ConductorClient(world, [conductor]).listStore())).length, 1);
  assert.is((await ask((world) => new ConductorClient(world, [conductor], { token: TOKEN }).listStore())).length, 1);
});

test.run();
