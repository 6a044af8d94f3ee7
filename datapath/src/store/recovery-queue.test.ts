// A store brings so many replicas up to date at a time, and no more; who waits in vain leaves.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { STATUS_OK } from '../wire/status.ts';
import { RecoveryQueue } from './recovery-queue.ts';
import { StoreRig } from './testing/store-rig.ts';

interface Job {
  isCurrent: boolean;
  hasBegun: boolean;
  end: (how: 'done' | Error) => void;
  readonly outcome: Promise<'done' | 'outdated'>;
}

function jobIn(queue: RecoveryQueue): Job {
  const { promise, resolve, reject } = Promise.withResolvers<'done'>();
  const job = { isCurrent: true, hasBegun: false, end: (how: 'done' | Error) => (how === 'done' ? resolve(how) : reject(how)) };
  const work = (): Promise<'done'> => {
    job.hasBegun = true;
    return promise;
  };
  const isCurrent = (): boolean => job.isCurrent;
  return Object.assign(job, { outcome: queue.run(isCurrent, work) });
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('the third of two waits, and begins when one of them has ended, also by an error', async () => {
  const queue = new RecoveryQueue(2);
  const jobs = [jobIn(queue), jobIn(queue), jobIn(queue), jobIn(queue)];
  assert.equal(
    jobs.map((job) => job.hasBegun),
    [true, true, false, false],
  );
  assert.equal(queue.dump(), { limit: 2, running: 2, waiting: 2 });
  jobs[1]!.end('done');
  await settle();
  assert.equal([jobs[2]!.hasBegun, jobs[3]!.hasBegun], [true, false]);
  jobs[0]!.end(new Error('broken'));
  await jobs[0]!.outcome.catch((error: Error) => assert.is(error.message, 'broken'));
  await settle();
  assert.ok(jobs[3]!.hasBegun);
  assert.equal(queue.dump(), { limit: 2, running: 2, waiting: 0 });
});

test('one that waits and becomes outdated leaves without a place, and holds up nobody', async () => {
  const queue = new RecoveryQueue(1);
  const jobs = [jobIn(queue), jobIn(queue), jobIn(queue)];
  jobs[1]!.isCurrent = false;
  queue.dropOutdated();
  assert.is(await jobs[1]!.outcome, 'outdated');
  assert.equal(queue.dump(), { limit: 1, running: 1, waiting: 1 });
  jobs[2]!.isCurrent = false;
  jobs[0]!.end('done');
  assert.is(await jobs[2]!.outcome, 'outdated');
  assert.equal([jobs[1]!.hasBegun, jobs[2]!.hasBegun], [false, false]);
  assert.equal(queue.dump(), { limit: 1, running: 0, waiting: 0 });
});

test('a higher limit lets those that wait begin, a lower one lets those that run go on', async () => {
  const queue = new RecoveryQueue(1);
  const jobs = [jobIn(queue), jobIn(queue), jobIn(queue)];
  queue.setLimit(2);
  await settle();
  assert.equal([jobs[1]!.hasBegun, jobs[2]!.hasBegun], [true, false]);
  queue.setLimit(1);
  jobs[0]!.end('done');
  await settle();
  assert.equal(queue.dump(), { limit: 1, running: 1, waiting: 1 });
  jobs[1]!.end('done');
  await settle();
  assert.ok(jobs[2]!.hasBegun);
});

test('a store with one place recovers two replicas one after the other, and forgets one whose configuration is outdated', async () => {
  const rig = await StoreRig.configured(51, ['IN_SYNC', 'OUT_OF_SYNC', 'OUT_OF_SYNC']);
  const store = rig.stores[0]!;
  const queueOf = (): unknown => store.dump()['recoveries'];
  store.setRecoveryParallel(1);
  for (let extent = 0; extent < 8; extent += 1) assert.is(await rig.write(0, extent * 65536, 65536, 1 + extent), STATUS_OK);
  const disk = rig.sim.machine('a').disk('/dev/nvme0');
  disk.setStuck(true);
  await rig.configure(() => (rig.conductor.statuses = ['IN_SYNC', 'RECOVERING', 'RECOVERING']));
  await rig.sim.run(rig.sim.now + 50);
  assert.equal(queueOf(), { limit: 1, running: 1, waiting: 1 });
  await rig.configure(() => (rig.conductor.statuses = ['IN_SYNC', 'RECOVERING', 'OUT_OF_SYNC']));
  await rig.sim.run(rig.sim.now + 250);
  assert.equal(queueOf(), { limit: 1, running: 1, waiting: 1 }, 'the first of the new configuration waits for the old one');
  disk.setStuck(false);
  await rig.sim.run(() => rig.conductor.statuses[1] === 'IN_SYNC', { withinMs: 10_000 });
  await rig.configure(() => (rig.conductor.statuses[2] = 'RECOVERING'));
  await rig.sim.run(() => rig.conductor.statuses[2] === 'IN_SYNC', { withinMs: 10_000 });
  assert.is(await rig.digest(1), await rig.digest(0));
  assert.is(await rig.digest(2), await rig.digest(0));
  await rig.sim.run(rig.sim.now + 200);
  assert.equal(queueOf(), { limit: 1, running: 0, waiting: 0 });
  await rig.close();
});

test.run();
