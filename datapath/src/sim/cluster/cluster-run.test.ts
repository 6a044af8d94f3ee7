// deadline: 240s
// Whole runs: a handful of fixed seeds, and that a seed says it all. `make sim SEEDS=n` runs as many as you like.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { SeededRandom } from '../seeded-random.ts';
import { runSeed } from './cluster-run.ts';
import { drawProfile } from './profile.ts';

const SEED_COUNT = Number(process.env['SIM_SEEDS'] ?? 20);

test(`seeds 1 to ${SEED_COUNT} end without a violation`, async () => {
  let requests = 0;
  let faults = 0;
  for (let seed = 1; seed <= SEED_COUNT; seed += 1) {
    const report = await runSeed(seed);
    assert.is(report.violation, null, `seed ${seed}: ${report.violation}\n${report.log}`);
    requests += report.requestCount;
    faults += report.faultCount;
  }
  assert.ok(requests > 100 * SEED_COUNT, `${requests} requests`);
  assert.ok(faults > 3 * SEED_COUNT, `${faults} faults`);
});

test('the same seed gives the same run, and another seed another one', async () => {
  const [first, again, other] = [await runSeed(3), await runSeed(3), await runSeed(9)];
  assert.is(again.traceHash, first.traceHash);
  assert.is(again.eventCount, first.eventCount);
  assert.is.not(other.traceHash, first.traceHash);
});

test('profiles differ: every fault, every volume shape and every end of a run occurs among 200 seeds', () => {
  const profiles = Array.from({ length: 200 }, (_, seed) => drawProfile(new SeededRandom(seed, 'profile')));
  const kinds = new Set(profiles.flatMap((profile) => [...profile.storeFaults, ...profile.conductorFaults]));
  assert.is(kinds.size, 14, [...kinds].join(' '));
  assert.ok(profiles.some((profile) => profile.takeoverAtMs > 0 && profile.blackoutAtMs > 0));
  assert.ok(profiles.some((profile) => profile.freeExtents > 0));
  assert.ok(profiles.some((profile) => profile.storeFaults.length === 0));
  assert.ok(profiles.some((profile) => profile.volumes.length === 3));
  assert.ok(profiles.some((profile) => profile.volumes.some((volume) => volume.replicaCount === 1)));
});

test.run();
