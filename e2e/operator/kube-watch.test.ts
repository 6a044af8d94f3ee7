// ListWatch, the Lease and events against a real API server: a cache that equals the list after kill -9 and a minute's absence, no storm of
// requests when it comes back, no lost change, two candidates for one Lease.
// deadline: 300s
// needs: kube openssl setpriv
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { PfError } from '@pureflash/datapath/base';
import { openNodeWorld } from '@pureflash/datapath/world';
import { refOf, type KubeObject } from '../../operator/src/api/objects.ts';
import type { HttpsKubeClient } from '../../operator/src/kube/https-client.ts';
import { openKube, type KubeWorld } from '../../operator/src/kube/kube-world.ts';
import { KubeLeaseStore } from '../../operator/src/kube/lease-store.ts';
import type { ListWatch } from '../../operator/src/kube/watch.ts';
import { Controller } from '../../operator/src/runtime/controller.ts';
import { EventRecorder } from '../../operator/src/runtime/events.ts';
import { LeaderElection } from '../../operator/src/runtime/leader-election.ts';
import { QuietLog } from '../../operator/src/runtime/testing/quiet-log.ts';
import { useControlPlane } from '../kube/suite.ts';
import { sayWhy } from '../local/say-why.ts';
import { waitFor } from '../local/wait-for.ts';

/** The requirement is 60; shorter ones while working on it. */
const AWAY_MS = Number(process.env['PF_AWAY_S'] ?? (process.env['PF_FULL'] === '1' ? 60 : 15)) * 1000;
const PATIENCE_MS = 60_000;
const WATCHES = 12;

const test = suite('watches');
const plane = useControlPlane(test);
const log = new QuietLog();
const world = await openNodeWorld({ ports: 'libuv', memoryBytes: 4 << 20, log });
let kube: KubeWorld;
let watch: ListWatch;
const told = new Map<string, number>();

const configMap = (name: string, data: Record<string, string> = {}): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'watched' },
  data,
});
const sent = (): number => (kube.client as HttpsKubeClient).requestsSent;

test.before(
  sayWhy(async () => {
    kube = await openKube(world, { kubeconfig: plane().kubeconfigPath });
    await kube.client.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'watched' } });
    for (let index = 0; index < 20; index += 1) await kube.client.apply(configMap(`item-${index}`));
    watch = kube.watch({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      namespace: 'watched',
      keep: ({ apiVersion, kind, metadata }) => ({ apiVersion, kind, metadata }),
      onChange(ref) {
        told.set(ref.name, (told.get(ref.name) ?? 0) + 1);
        if (ref.name === 'item-3') throw new Error('a listener that throws');
      },
    });
  }),
);
test.after(async () => {
  await kube.close();
  await world.close();
});

/** Fails with the first difference. */
async function sameAsListed(): Promise<void> {
  const { items } = await kube.client.list('v1', 'ConfigMap', { namespace: 'watched' });
  const listed = items.map(({ metadata }) => `${metadata.name} ${metadata.resourceVersion}`).sort();
  const cached = [...watch.values()].map(({ metadata }) => `${metadata.name} ${metadata.resourceVersion}`).sort();
  assert.equal(cached, listed);
}

test('the first list fills the cache with what is kept of each object; a listener that throws ends nothing', async () => {
  await watch.hasSynced;
  assert.is(watch.size, 20);
  assert.equal(Object.keys(watch.get('item-3', 'watched')!), ['apiVersion', 'kind', 'metadata']);
  assert.is(watch.counters.listenerErrors, 1);
  await kube.client.apply(configMap('item-3', { a: '1' }));
  await kube.client.apply(configMap('new'));
  await kube.client.delete(refOf(configMap('item-4')));
  await waitFor('the changes', PATIENCE_MS, async () =>
    Promise.resolve(
      watch.counters.listenerErrors === 2 && watch.get('new', 'watched') && !watch.get('item-4', 'watched') ? true : null,
    ),
  );
  await sameAsListed();
  assert.is(watch.counters.lists, 1);
});

test(`kill -9 of the API server and ${AWAY_MS / 1000} s without it: the caches are right afterwards, with few requests`, async () => {
  const others = Array.from({ length: WATCHES }, () => kube.watch({ apiVersion: 'v1', kind: 'ConfigMap', namespace: 'watched' }));
  await Promise.all(others.map((other) => other.hasSynced));
  const before = { size: watch.size, sent: sent(), lists: watch.counters.lists };
  await plane().stopApiServer();
  await world.clock.sleep(AWAY_MS);
  const sentWhileAway = sent() - before.sent;
  assert.is(watch.size, before.size);
  assert.ok(
    sentWhileAway <= (WATCHES + 1) * (6 + AWAY_MS / 5_000),
    `${sentWhileAway} requests by ${WATCHES + 1} watches while away`,
  );
  const backAt = performance.now();
  await plane().startApiServer();
  const readyAt = performance.now();
  await waitFor('a write', PATIENCE_MS, () => kube.client.apply(configMap('after-outage')).catch(() => null));
  await kube.client.delete(refOf(configMap('item-5')));
  await waitFor('the caches to catch up', PATIENCE_MS, async () =>
    Promise.resolve(
      [watch, ...others].every((one) => one.get('after-outage', 'watched') && !one.get('item-5', 'watched')) ? true : null,
    ),
  );
  const sentAfterwards = sent() - before.sent - sentWhileAway;
  console.log(
    `${WATCHES + 1} watches: ${sentWhileAway} requests in ${AWAY_MS / 1000} s away, ${sentAfterwards} until all caught up; ` +
      `start ${(readyAt - backAt).toFixed(0)} ms, caught up after ${(performance.now() - readyAt).toFixed(0)} ms; ` +
      `lists ${watch.counters.lists - before.lists}, failures ${watch.counters.failures}`,
  );
  assert.ok(sentAfterwards <= (WATCHES + 1) * 6 + 20, `${sentAfterwards} requests after the outage`);
  await sameAsListed();
  await Promise.all(others.map((other) => other.close()));
});

test('a frozen API server: requests run into their deadlines, the watch into its inactivity, and afterwards all is right', async () => {
  const frozen = kube.watch({ apiVersion: 'v1', kind: 'ConfigMap', namespace: 'watched', inactivityMs: 3_000 });
  await frozen.hasSynced;
  const pid = plane().pids['kube-apiserver']!;
  process.kill(pid, 'SIGSTOP');
  try {
    const ref = refOf(configMap('item-1'));
    const late = await kube.client.get(ref, { timeoutMs: 1_000 }).catch((error: PfError) => error.code);
    assert.is(late, 'TIMEOUT');
    await waitFor('the watch to notice', 25_000, async () => Promise.resolve(frozen.counters.failures > 0 ? true : null));
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  await waitFor('a write', PATIENCE_MS, () => kube.client.apply(configMap('after-frost')).catch(() => null));
  await waitFor('the change', PATIENCE_MS, async () => Promise.resolve(frozen.get('after-frost', 'watched')));
  await frozen.close();
});

test('bookmarks come: their period, for the record', async () => {
  const seen = watch.counters.bookmarks;
  const startedAt = performance.now();
  await waitFor('a bookmark', 100_000, async () => Promise.resolve(watch.counters.bookmarks > seen ? true : null));
  console.log(`a bookmark after ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
});

test('an expired version means a list, and the differences only are told', async () => {
  const own = new Map<string, number>();
  const second = kube.watch({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    namespace: 'watched',
    relistMs: 1_500,
    onChange: (ref) => void own.set(ref.name, (own.get(ref.name) ?? 0) + 1),
  });
  await second.hasSynced;
  await waitFor('three lists', PATIENCE_MS, async () => Promise.resolve(second.counters.lists >= 3 ? true : null));
  assert.ok([...own.values()].every((count) => count === 1));
  await second.close();
});

test('a controller turns changes into reconciles, and one that writes its own object settles', async () => {
  let reconciles = 0;
  const controller = new Controller(
    { ...world, log },
    {
      name: 'settles',
      async reconcile(key) {
        reconciles += 1;
        const [, name = ''] = key.split('/');
        if (name === 'target') await kube.client.apply({ ...configMap(name, { seen: 'yes' }) });
      },
    },
  );
  controller.watch(watch);
  controller.start();
  await kube.client.create(configMap('target'));
  await waitFor('the write', PATIENCE_MS, async () =>
    (await kube.client.get(refOf(configMap('target'))))?.['data'] ? true : null,
  );
  await world.clock.sleep(1_000);
  const settled = reconciles;
  await world.clock.sleep(1_500);
  assert.is(reconciles, settled);
  await controller.close();
});

test('two candidates for a Lease: one leads, its release hands over, kubectl shows the holder', async () => {
  const times = { leaseDurationMs: 3_000, renewDeadlineMs: 2_000, retryPeriodMs: 400 };
  const store = () => new KubeLeaseStore(kube.client, 'watched', 'pureflash-operator');
  const first = new LeaderElection({ ...world, log }, store(), 'first', times);
  await first.elected;
  const second = new LeaderElection({ ...world, log }, store(), 'second', times);
  await world.clock.sleep(2_500);
  assert.ok(first.isLeader);
  assert.not(second.isLeader);
  const lease = await plane().kubectl(
    'get',
    'lease/pureflash-operator',
    '-n',
    'watched',
    '-o',
    'jsonpath={.spec.holderIdentity}',
  );
  assert.is(lease, 'first');
  const releasedAt = performance.now();
  await first.release();
  await second.elected;
  console.log(`handed over in ${(performance.now() - releasedAt).toFixed(0)} ms`);
  assert.ok(performance.now() - releasedAt < 2_000);
  await plane().stopApiServer();
  const stoppedAt = performance.now();
  await waitFor('the end of leadership', PATIENCE_MS, async () => Promise.resolve(second.signal.aborted ? true : null));
  assert.ok(performance.now() - stoppedAt <= 2_500, 'it ends by its own clock, without an answer');
  await plane().startApiServer();
  const third = new LeaderElection({ ...world, log }, store(), 'third', times);
  await third.elected;
  await third.release();
});

test('events are taken, and a series is counted', async () => {
  const target = (await kube.client.get(refOf(configMap('target'))))!;
  const options = { controller: 'pureflash.io/operator', instance: 'operator-0' };
  const recorder = new EventRecorder(kube.client, { ...world, log }, options);
  recorder.record(target, { type: 'Warning', reason: 'Tested', action: 'Test', note: 'something happened' });
  const wanted = { namespace: 'watched', fieldSelector: 'reason=Tested' };
  const find = async () => (await kube.client.list('events.k8s.io/v1', 'Event', wanted)).items[0] ?? null;
  const event = await waitFor('the event', PATIENCE_MS, find);
  assert.is(event['note'], 'something happened');
  const series = { count: 2, lastObservedTime: '2026-01-01T00:00:00.000000Z' };
  await kube.client.patch(refOf(event), { series });
  assert.equal((await find())!['series'], series);
  assert.match(await plane().kubectl('get', 'events', '-n', 'watched'), 'something happened');
  recorder.close();
});

test.run();
