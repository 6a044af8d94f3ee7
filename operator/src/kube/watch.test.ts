import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PfError } from '@pureflash/datapath/base';
import type { KubeObject } from '../api/objects.ts';
import { ManualClock, settle } from '../runtime/testing/manual-clock.ts';
import { QuietLog } from '../runtime/testing/quiet-log.ts';
import { SeededRandom } from '../runtime/testing/seeded-random.ts';
import { ApiError } from './api-error.ts';
import type { KubeClient, ObjectList, WatchEvent, WatchOptions } from './client.ts';
import { ListWatch, type ListWatchOptions } from './watch.ts';

/** A server that holds objects and plays what the test says; the watch ends when the test ends it. */
class ScriptedApi {
  readonly objects = new Map<string, KubeObject>();
  version = 100;
  lists = 0;
  readonly watchedFrom: string[] = [];
  readonly timeouts: number[] = [];
  failList: Error | null = null;
  failWatch: Error | null = null;
  endsAtOnce = false;
  emit: (event: WatchEvent) => void = () => {};
  end: (error?: Error) => void = () => {};

  get client(): KubeClient {
    return { list: () => this.#list(), watch: this.#watch } as unknown as KubeClient;
  }

  put(name: string, uid = `uid-${name}`): KubeObject {
    this.version += 1;
    const object: KubeObject = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name, namespace: 'ns', uid, resourceVersion: String(this.version) },
      data: { large: 'x' },
    };
    this.objects.set(name, object);
    return object;
  }

  async #list(): Promise<ObjectList> {
    this.lists += 1;
    await Promise.resolve();
    if (this.failList !== null) throw this.failList;
    return { items: [...this.objects.values()], resourceVersion: String(this.version) };
  }

  readonly #watch = (_: string, __: string, options: WatchOptions, onEvent: (event: WatchEvent) => void): Promise<void> => {
    this.watchedFrom.push(options.resourceVersion);
    this.timeouts.push(options.timeoutSeconds);
    if (this.failWatch !== null) return Promise.reject(this.failWatch);
    if (this.endsAtOnce) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.emit = (event) => {
        try {
          onEvent(event);
        } catch (error) {
          reject(error as Error);
        }
      };
      this.end = (error) => (error === undefined ? resolve() : reject(error));
      options.signal?.addEventListener('abort', () => reject(options.signal!.reason), { once: true });
    });
  };
}

async function open(api: ScriptedApi, options: Partial<ListWatchOptions> = {}) {
  const clock = new ManualClock();
  const log = new QuietLog();
  const told: string[] = [];
  const watch = new ListWatch(
    api.client,
    { clock, random: new SeededRandom(1), log },
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      namespace: 'ns',
      onChange: (ref, object, before) => {
        const was = before === null ? '' : ` was ${before.metadata.resourceVersion}`;
        told.push(`${ref.name} ${object === null ? 'gone' : object.metadata.resourceVersion}${was}`);
      },
      ...options,
    },
  );
  await settle();
  return { clock, log, told, watch };
}

const gone = (): ApiError => new ApiError('STALE', 'too old', { httpStatus: 410, reason: 'Expired', causes: [] });
const lost = (): PfError => new PfError('CONNECTION_LOST', 'the connection broke');

test('lists, then watches from there; events and bookmarks move on; a clean end is followed at once from the last version', async () => {
  const api = new ScriptedApi();
  api.put('a');
  const { clock, told, watch } = await open(api);
  assert.ok(watch.isSynced);
  assert.equal(api.watchedFrom, ['101']);
  api.emit({ type: 'ADDED', object: api.put('b') });
  api.emit({ type: 'MODIFIED', object: api.put('a') });
  api.emit({ type: 'DELETED', object: api.objects.get('b')! });
  api.emit({ type: 'BOOKMARK', resourceVersion: '150' });
  assert.equal(told, ['a 101', 'b 102', 'a 103 was 101', 'b gone was 102']);
  await clock.advance(5_000);
  api.end();
  await clock.advance(0);
  assert.equal(api.watchedFrom, ['101', '150']);
  assert.is(api.lists, 1);
  await watch.close();
  assert.is(clock.pending, 0);
});

test('a lost connection is watched again after a pause, without a list, and nothing is told twice', async () => {
  const api = new ScriptedApi();
  api.put('a');
  const { clock, told, watch } = await open(api);
  api.end(lost());
  await clock.advance(0);
  assert.is(api.watchedFrom.length, 1);
  await clock.advance(500);
  assert.equal(api.watchedFrom, ['101', '101']);
  api.emit({ type: 'ADDED', object: api.objects.get('a')! }); // Some proxies replay.
  assert.equal(told, ['a 101']);
  assert.is(api.lists, 1);
  await watch.close();
});

test('an expired version lists again within a second and tells exactly the differences', async () => {
  const api = new ScriptedApi();
  ['same', 'changed', 'deleted', 'remade'].forEach((name) => api.put(name));
  const { clock, told, watch } = await open(api);
  told.length = 0;
  api.put('changed');
  api.objects.delete('deleted');
  api.put('remade', 'another-uid');
  api.put('new');
  api.end(gone());
  await clock.advance(1_000);
  await clock.advance(0);
  assert.equal(told, ['changed 105 was 102', 'remade 106 was 104', 'new 107', 'deleted gone was 103']);
  assert.is(api.lists, 2);
  await watch.close();
});

test('a malformed stream lists again; other failures three times in a row by the server do too', async () => {
  const api = new ScriptedApi();
  const { clock, watch } = await open(api);
  api.end(new PfError('PROTOCOL_ERROR', 'a line is not JSON'));
  await clock.advance(1_000);
  assert.is(api.lists, 2);
  api.failWatch = new ApiError('UNAVAILABLE', 'too large resource version', { httpStatus: 504, reason: 'Timeout', causes: [] });
  api.end(lost());
  await clock.advance(10_000);
  assert.ok(api.lists >= 3);
  await watch.close();
});

test('an outage: the cache stays, retries slow down to ten seconds, the log says it once a minute, and it recovers', async () => {
  const api = new ScriptedApi();
  api.put('a');
  const { clock, log, told, watch } = await open(api);
  api.failWatch = new ApiError('UNAVAILABLE', 'connection refused', { httpStatus: 0, reason: '', causes: [] });
  api.failList = api.failWatch;
  api.end(lost());
  const before = api.watchedFrom.length;
  await clock.advance(600_000);
  const tries = api.watchedFrom.length - before;
  assert.ok(tries >= 60 && tries <= 130, `${tries} tries in ten minutes`);
  assert.is(watch.size, 1);
  assert.equal(told, ['a 101']);
  assert.ok(log.lines.filter((line) => line.startsWith('warn')).length <= 11);
  assert.ok(watch.lastEventAgeMs >= 600_000);
  api.failWatch = null;
  api.failList = null;
  api.put('b');
  await clock.advance(12_000);
  assert.is(watch.size, 2);
  assert.ok(watch.lastEventAgeMs <= 12_000);
  await watch.close();
});

test('429 with Retry-After is waited for', async () => {
  const api = new ScriptedApi();
  const { clock, watch } = await open(api);
  api.failWatch = new ApiError('UNAVAILABLE', 'too many', { httpStatus: 429, reason: '', causes: [], retryAfterMs: 30_000 });
  api.end(lost());
  await clock.advance(500);
  const tries = api.watchedFrom.length;
  await clock.advance(29_000);
  assert.is(api.watchedFrom.length, tries);
  await clock.advance(4_500);
  assert.is(api.watchedFrom.length, tries + 1);
  await watch.close();
});

test('a server that ends every watch at once is not hammered', async () => {
  const api = new ScriptedApi();
  const { clock, watch } = await open(api);
  api.endsAtOnce = true;
  api.end();
  await clock.advance(60_000);
  assert.ok(api.watchedFrom.length < 20, `${api.watchedFrom.length} watches in a minute`);
  await watch.close();
});

test('lists again after the relist period, which the watch is told', async () => {
  const api = new ScriptedApi();
  api.put('a');
  const { clock, told, watch } = await open(api, { relistMs: 100_000 });
  assert.ok(api.timeouts[0]! <= 100 && api.timeouts[0]! >= 90);
  api.put('missed');
  await clock.advance(101_000);
  api.end();
  await clock.advance(0);
  assert.is(api.lists, 2);
  assert.equal(told, ['a 101', 'missed 102']);
  await watch.close();
});

test('keep() trims what is cached; late subscribers are told what is there; a listener that throws harms nobody', async () => {
  const api = new ScriptedApi();
  const { told, watch, log } = await open(api, { keep: ({ apiVersion, kind, metadata }) => ({ apiVersion, kind, metadata }) });
  const stop = watch.subscribe(() => {
    throw new Error('mine');
  });
  api.emit({ type: 'ADDED', object: api.put('a') });
  assert.equal(Object.keys(watch.get('a', 'ns')!), ['apiVersion', 'kind', 'metadata']);
  assert.equal(told, ['a 101']);
  assert.equal(log.lines, ['error a listener failed; the watch goes on: mine']);
  stop();
  const late: string[] = [];
  watch.subscribe((ref) => late.push(ref.name));
  api.emit({ type: 'ADDED', object: api.put('b') });
  assert.equal(late, ['a', 'b']);
  assert.is(watch.counters.listenerErrors, 1);
  await watch.close();
});

test('closed before the first list: hasSynced rejects and no timer is left', async () => {
  const api = new ScriptedApi();
  api.failList = lost();
  const { clock, watch } = await open(api);
  await clock.advance(5_000);
  await watch.close();
  assert.is(await watch.hasSynced.catch((error: PfError) => error.code), 'CANCELLED');
  assert.is(clock.pending, 0);
});

test('a hundred random histories: the cache ends as the server is', async () => {
  for (let seed = 1; seed <= 100; seed += 1) {
    const random = new SeededRandom(seed);
    const api = new ScriptedApi();
    const { clock, watch } = await open(api);
    let isLive = true;
    for (let step = 0; step < 30; step += 1) {
      const name = `n${random.below(4)}`;
      const known = api.objects.get(name);
      if (random.chance(0.3) && known !== undefined) {
        api.objects.delete(name);
        api.version += 1;
        const object = { ...known, metadata: { ...known.metadata, resourceVersion: String(api.version) } };
        if (isLive) api.emit({ type: 'DELETED', object });
      } else {
        const object = api.put(name, random.chance(0.2) ? `uid-${step}` : known?.metadata.uid);
        if (isLive) api.emit({ type: known === undefined ? 'ADDED' : 'MODIFIED', object });
      }
      if (random.chance(0.15)) {
        api.end(gone());
        isLive = false;
      }
      if (!isLive && random.chance(0.5)) {
        await clock.advance(12_000);
        isLive = true;
      }
    }
    if (!isLive) await clock.advance(12_000);
    const versions = (objects: Iterable<KubeObject>): string[] =>
      [...objects].map(({ metadata }) => `${metadata.name} ${metadata.resourceVersion}`).sort();
    assert.equal(versions(watch.values()), versions(api.objects.values()), `seed ${seed}`);
    await watch.close();
  }
});

test.run();
