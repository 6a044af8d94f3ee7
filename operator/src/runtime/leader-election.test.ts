import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PfError } from '@pureflash/datapath/base';
import { DEFAULT_ELECTION_TIMES, LeaderElection, type LeaseRecord, type LeaseStore, type LeaseWrite } from './leader-election.ts';
import { simulateElection } from './testing/election-simulation.ts';
import { ManualClock, settle } from './testing/manual-clock.ts';
import { QuietLog } from './testing/quiet-log.ts';
import { SeededRandom } from './testing/seeded-random.ts';

const SEEDS = Number(process.env['PF_SEEDS'] ?? 150);
const log = new QuietLog();

class MemoryLease implements LeaseStore {
  record: LeaseRecord | null = null;
  writes = 0;
  /** Set: requests wait for ever. */
  isSilent = false;
  error: PfError | null = null;

  async read(): Promise<LeaseRecord | null> {
    await this.#trouble();
    return this.record;
  }

  async write(record: LeaseWrite, version: string | null): Promise<LeaseRecord> {
    await this.#trouble();
    if ((this.record?.version ?? null) !== version) throw new PfError('STALE', 'the Lease has another version');
    this.writes += 1;
    this.record = { ...record, version: String(this.writes) };
    return this.record;
  }

  async #trouble(): Promise<void> {
    if (this.isSilent) await new Promise(() => {});
    if (this.error !== null) throw this.error;
  }
}

function candidate(clock: ManualClock, lease: LeaseStore, name: string): LeaderElection {
  return new LeaderElection({ clock, random: new SeededRandom(7), log }, lease, name);
}

test(`${SEEDS} seeds of lost answers, pauses, crashes and skewed clocks: never two that may write`, () => {
  let elections = 0;
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const result = simulateElection({ seed, times: DEFAULT_ELECTION_TIMES, durationMs: 600_000, rateSpread: 0.18 });
    assert.equal(result.violations.slice(0, 3), [], `seed ${seed}`);
    assert.ok(result.endedWithLeader, `seed ${seed}: a leader after a minute without faults`);
    elections += result.elections;
  }
  assert.ok(elections > SEEDS * 10, `${elections} elections are enough to mean something`);
});

test('the checker sees two leaders when a leader trusts its Lease longer than the others wait', () => {
  const times = { ...DEFAULT_ELECTION_TIMES, renewDeadlineMs: 25_000 };
  const found = Array.from({ length: 20 }, (_, seed) =>
    simulateElection({ seed: seed + 1, times, durationMs: 600_000, rateSpread: 0.18 }),
  );
  assert.ok(found.some((result) => result.violations.length > 0));
});

test('the first candidate leads, the second waits; a release hands over at once', async () => {
  const clock = new ManualClock();
  const lease = new MemoryLease();
  const first = candidate(clock, lease, 'first');
  await first.elected;
  const second = candidate(clock, lease, 'second');
  await clock.advance(60_000);
  assert.ok(first.isLeader);
  assert.not(second.isLeader);
  assert.is(second.holder, 'first');
  assert.equal(
    [lease.record!.acquireTime, lease.record!.renewTime],
    ['2026-01-01T00:00:00.000000Z', '2026-01-01T00:01:00.000000Z'],
  );
  await first.release();
  assert.ok(first.signal.aborted);
  assert.is(lease.record!.holder, '');
  await clock.advance(2_500);
  assert.ok(second.isLeader);
  assert.is(lease.record!.transitions, 1);
  await second.release();
  assert.is(clock.pending, 0);
});

test('a renewal every two seconds, and nothing else', async () => {
  const clock = new ManualClock();
  const lease = new MemoryLease();
  const only = candidate(clock, lease, 'only');
  await clock.advance(60_000);
  assert.is(lease.writes, 31);
  await only.release();
});

test('a leader whose store is silent stops ten seconds after its last renewal was sent, though the request still hangs', async () => {
  const clock = new ManualClock();
  const lease = new MemoryLease();
  const only = candidate(clock, lease, 'only');
  await clock.advance(1_000);
  lease.isSilent = true;
  await clock.advance(8_999);
  assert.ok(only.isLeader);
  assert.not(only.signal.aborted);
  await clock.advance(1);
  assert.not(only.isLeader);
  assert.ok(only.signal.aborted);
  assert.is((only.signal.reason as PfError).code, 'FENCED');
  await assertRejects(only.elected.then(() => only.signal.throwIfAborted()));
});

test('after a pause of the process it does not lead, even before a timer has run', async () => {
  const clock = new ManualClock();
  const only = candidate(clock, new MemoryLease(), 'only');
  await clock.advance(1_000);
  const moved = clock.pause(20_000);
  assert.not(only.isLeader);
  await moved;
  assert.ok(only.signal.aborted);
});

test('an outage shorter than the deadline does not end leadership', async () => {
  const clock = new ManualClock();
  const lease = new MemoryLease();
  const only = candidate(clock, lease, 'only');
  await clock.advance(1_000);
  lease.error = new PfError('UNAVAILABLE', 'the API server is not there');
  await clock.advance(7_000);
  lease.error = null;
  await clock.advance(30_000);
  assert.ok(only.isLeader);
  await only.release();
});

test('a Lease that somebody else took ends leadership at the next renewal', async () => {
  const clock = new ManualClock();
  const lease = new MemoryLease();
  const only = candidate(clock, lease, 'only');
  await clock.advance(1_000);
  lease.record = { ...lease.record!, holder: 'thief', version: 'stolen' };
  await clock.advance(2_000);
  assert.ok(only.signal.aborted);
  assert.match((only.signal.reason as PfError).message, '"thief" holds it');
});

test('a candidate that is closed before it was elected rejects and leaves the Lease alone', async () => {
  const clock = new ManualClock();
  const lease = new MemoryLease();
  const first = candidate(clock, lease, 'first');
  await settle();
  const second = candidate(clock, lease, 'second');
  await settle();
  await second.release();
  await assertRejects(second.elected);
  assert.is(lease.record!.holder, 'first');
  await first.release();
});

async function assertRejects(work: Promise<unknown>): Promise<void> {
  const error = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  assert.instance(error, PfError);
}

test.run();
