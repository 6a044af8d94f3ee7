import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PfError } from '@pureflash/datapath/base';
import type { KubeObject, ObjectRef } from '../api/objects.ts';
import { Controller, keyOfRef, ownersOfKind, parseKey, type ChangeSource, type Outcome } from './controller.ts';
import { ManualClock, settle } from './testing/manual-clock.ts';
import { QuietLog } from './testing/quiet-log.ts';
import { SeededRandom } from './testing/seeded-random.ts';

type Listener = (ref: ObjectRef, object: KubeObject | null, before: KubeObject | null) => void;

class Source implements ChangeSource {
  sync!: () => void;
  readonly hasSynced = new Promise<void>((resolve) => (this.sync = resolve));
  listeners = new Set<Listener>();

  subscribe(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  change(name: string, object: Partial<KubeObject> = {}): void {
    const ref = { apiVersion: 'v1', kind: 'ConfigMap', namespace: 'ns', name };
    for (const listener of this.listeners)
      listener(ref, { ...ref, metadata: { name, namespace: 'ns' }, ...object } as KubeObject, null);
  }
}

function open(reconcile: (key: string, signal: AbortSignal) => Promise<Outcome | void>, workers = 1) {
  const clock = new ManualClock();
  const log = new QuietLog();
  const backoff = { firstMs: 1_000, maxMs: 8_000 };
  const controller = new Controller({ clock, random: new SeededRandom(1), log }, { name: 'test', reconcile, workers, backoff });
  return { clock, log, controller };
}

test('work starts when every source has synced, once for each key', async () => {
  const seen: string[] = [];
  const { controller } = open(async (key) => void seen.push(key));
  const [one, other] = [new Source(), new Source()];
  controller.watch(one);
  controller.watch(other);
  controller.start();
  one.change('a');
  one.change('a');
  one.sync();
  await settle();
  assert.equal(seen, []);
  other.sync();
  await settle();
  assert.equal(seen, ['ns/a']);
  await controller.close();
  assert.is(one.listeners.size, 0);
});

test('an error is counted, told and tried again with back-off; success asks again when it says so', async () => {
  const answers: (Outcome | Error)[] = [new Error('first'), new Error('second'), { requeueAfterMs: 5_000 }, {}];
  const times: number[] = [];
  const { clock, log, controller } = open(async () => {
    times.push(clock.now());
    const answer = answers.shift()!;
    if (answer instanceof Error) throw answer;
    return answer;
  });
  controller.start();
  controller.enqueue('k');
  await clock.advance(60_000);
  assert.is(times.length, 4);
  assert.ok(times[1]! >= 500 && times[1]! <= 1_000);
  assert.ok(times[2]! - times[1]! >= 1_000 && times[2]! - times[1]! <= 2_000);
  assert.is(times[3]! - times[2]!, 5_000);
  assert.is(controller.metrics.reconciles, 4);
  assert.is(controller.metrics.errors, 2);
  assert.equal(log.lines, ['warn cannot reconcile: first', 'warn cannot reconcile: second']);
  await controller.close();
  assert.is(clock.pending, 0);
});

test('the server asked for a pause: it is kept', async () => {
  const times: number[] = [];
  const { clock, controller } = open(async () => {
    times.push(clock.now());
    if (times.length === 1) throw Object.assign(new PfError('UNAVAILABLE', 'too many requests'), { retryAfterMs: 20_000 });
  });
  controller.start();
  controller.enqueue('k');
  await clock.advance(60_000);
  assert.equal(times, [0, 20_000]);
  await controller.close();
});

test('several workers, but one key is never reconciled twice at a time', async () => {
  const running = new Map<string, number>();
  let most = 0;
  const { clock, controller } = open(async (key) => {
    running.set(key, (running.get(key) ?? 0) + 1);
    assert.is(running.get(key), 1);
    most = Math.max(
      most,
      [...running.values()].reduce((sum, count) => sum + count, 0),
    );
    await clock.sleep(100);
    running.set(key, 0);
  }, 3);
  controller.start();
  for (let round = 0; round < 20; round += 1) {
    for (const key of ['a', 'b', 'c', 'd']) controller.enqueue(key);
    await clock.advance(37);
  }
  await clock.advance(1_000);
  assert.is(most, 3);
  assert.is(controller.metrics.errors, 0);
  await controller.close();
});

test('the end of leadership aborts what runs and starts nothing more', async () => {
  const leadership = new AbortController();
  let aborted = '';
  const { clock, controller, log } = open(async (_key, signal) => {
    await clock.sleep(10_000, signal).catch((error: PfError) => {
      aborted = error.code;
      throw error;
    });
  });
  controller.start(leadership.signal);
  controller.enqueue('a');
  controller.enqueue('b');
  await settle();
  leadership.abort(new PfError('FENCED', 'no longer the leader'));
  await controller.close();
  assert.is(aborted, 'FENCED');
  assert.is(controller.metrics.reconciles, 1);
  assert.equal(log.lines, []);
});

test('keys: of the object, and of its owners as they are and were', () => {
  const ref = { apiVersion: 'v1', kind: 'Pod', namespace: 'ns', name: 'p' };
  assert.equal(parseKey(keyOfRef(ref)), { namespace: 'ns', name: 'p' });
  assert.equal(parseKey('node-1'), { name: 'node-1' });
  const owner = (kind: string, name: string) => ({
    apiVersion: 'v1',
    kind,
    name,
    uid: 'u',
    controller: true,
    blockOwnerDeletion: true,
  });
  const pod = (...ownerReferences: ReturnType<typeof owner>[]): KubeObject => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', namespace: 'ns', ownerReferences },
  });
  const keys = ownersOfKind('v1', 'Store')(ref, pod(owner('Store', 'new'), owner('Other', 'x')), pod(owner('Store', 'old')));
  assert.equal([...keys], ['ns/new', 'ns/old']);
});

test.run();
