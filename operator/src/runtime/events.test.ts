import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PfError } from '@pureflash/datapath/base';
import type { JsonObject, KubeObject, ObjectRef } from '../api/objects.ts';
import { EventRecorder, SERIES_MAX } from './events.ts';
import { ManualClock } from './testing/manual-clock.ts';
import { QuietLog } from './testing/quiet-log.ts';
import { SeededRandom } from './testing/seeded-random.ts';

class MemoryEvents {
  readonly created: KubeObject[] = [];
  readonly patched: JsonObject[] = [];
  failures: PfError[] = [];

  async create(object: KubeObject): Promise<KubeObject> {
    this.#fail();
    this.created.push(object);
    return object;
  }

  async patch(ref: ObjectRef, patch: JsonObject): Promise<KubeObject> {
    this.#fail();
    assert.is(ref.kind, 'Event');
    this.patched.push(patch);
    return this.created[0]!;
  }

  #fail(): void {
    const failure = this.failures.shift();
    if (failure !== undefined) throw failure;
  }
}

const cluster: KubeObject = {
  apiVersion: 'pureflash.io/v1alpha1',
  kind: 'StorageCluster',
  metadata: { name: 'main', namespace: 'storage', uid: 'u-1', resourceVersion: '7' },
  spec: { large: true },
};
const note = { type: 'Warning', reason: 'StoreMissing', action: 'Observe', note: 'store s1 is gone' } as const;

function open() {
  const clock = new ManualClock();
  const log = new QuietLog();
  const store = new MemoryEvents();
  const options = { controller: 'pureflash.io/operator', instance: 'operator-0' };
  return { clock, log, store, recorder: new EventRecorder(store, { clock, random: new SeededRandom(1), log }, options) };
}

test('an event says who, what and about which object', async () => {
  const { clock, store, recorder } = open();
  recorder.record(cluster, note);
  await clock.advance(0);
  assert.is(store.created.length, 1);
  const { metadata, ...event } = store.created[0]!;
  assert.match(metadata.name, /^main\.[0-9a-f]{16}$/);
  assert.is(metadata.namespace, 'storage');
  assert.equal(event, {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    eventTime: '2026-01-01T00:00:00.000000Z',
    reportingController: 'pureflash.io/operator',
    reportingInstance: 'operator-0',
    action: 'Observe',
    reason: 'StoreMissing',
    type: 'Warning',
    note: 'store s1 is gone',
    regarding: {
      apiVersion: 'pureflash.io/v1alpha1',
      kind: 'StorageCluster',
      name: 'main',
      namespace: 'storage',
      uid: 'u-1',
      resourceVersion: '7',
    },
  });
});

test('repetitions are counted and written once a minute', async () => {
  const { clock, store, recorder } = open();
  for (let second = 0; second < 150; second += 1) {
    recorder.record(cluster, note);
    await clock.advance(1_000);
  }
  await clock.advance(120_000);
  assert.is(store.created.length, 1);
  assert.equal(store.patched, [
    { series: { count: 60, lastObservedTime: '2026-01-01T00:00:59.000000Z' } },
    { series: { count: 120, lastObservedTime: '2026-01-01T00:01:59.000000Z' } },
    { series: { count: 150, lastObservedTime: '2026-01-01T00:02:29.000000Z' } },
  ]);
  assert.is(clock.pending, 0);
});

test('after ten quiet minutes, and for another reason or object, it is a new event', async () => {
  const { clock, store, recorder } = open();
  recorder.record(cluster, note);
  recorder.record(cluster, { ...note, reason: 'StoreBack', type: 'Normal' });
  recorder.record({ apiVersion: 'v1', kind: 'Node', name: 'n1' }, note);
  await clock.advance(600_001);
  recorder.record(cluster, note);
  await clock.advance(0);
  assert.is(store.created.length, 4);
  assert.is(store.created[2]!.metadata.namespace, 'default');
  assert.is(store.patched.length, 0);
});

test('a failing store loses events, never throws and never hurries', async () => {
  const { clock, store, recorder, log } = open();
  store.failures = [1, 2, 3].map(() => new PfError('UNAVAILABLE', 'the API server is not there'));
  recorder.record(cluster, note);
  await clock.advance(60_000);
  assert.is(store.created.length, 0);
  assert.is(recorder.counters.dropped, 1);
  assert.match(log.lines[0]!, /warn an event was given up/);
  recorder.record(cluster, note);
  await clock.advance(0);
  assert.is(store.created.length, 1);
});

test('an event that the API server has forgotten is made anew, with its count', async () => {
  const { clock, store, recorder } = open();
  recorder.record(cluster, note);
  await clock.advance(0);
  store.failures = [new PfError('NOT_FOUND', 'no such event')];
  recorder.record(cluster, note);
  await clock.advance(120_000);
  assert.is(store.created.length, 2);
  assert.equal(store.created[1]!['series'], { count: 2, lastObservedTime: '2026-01-01T00:00:00.000000Z' });
});

test('what is remembered is bounded', async () => {
  const { clock, store, recorder } = open();
  for (let index = 0; index < SERIES_MAX + 500; index += 1)
    recorder.record({ apiVersion: 'v1', kind: 'Node', name: `n${index}` }, note);
  for (let turn = 0; turn < 300; turn += 1) await clock.advance(1);
  assert.is(store.created.length + recorder.counters.dropped, SERIES_MAX + 500);
  assert.ok(recorder.counters.dropped >= 499);
  recorder.close();
  recorder.record(cluster, note);
  assert.is(clock.pending, 0);
});

test.run();
