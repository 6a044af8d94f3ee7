// Which rounds of a benchmark count: as many as asked for, the calmest, and no more are measured than that takes.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Rounds, type Round } from './rounds.ts';

const QUESTION = { question: 'q', unit: 'IOPS', ours: 'a', peers: { peer: 'b' } };

/** Of [value, stolen] for a and for b. */
const round = (a: readonly [number, number], b: readonly [number, number]): Round =>
  new Map([
    ['a', { value: a[0], stolen: a[1] }],
    ['b', { value: b[0], stolen: b[1] }],
  ]);

async function measure(count: number, rounds: readonly Round[]): Promise<{ readonly rounds: Rounds; readonly measured: number }> {
  const result = new Rounds(count, [QUESTION]);
  let measured = 0;
  await result.measure(async (index) => {
    measured += 1;
    return rounds[Math.min(index, rounds.length - 1)]!;
  });
  return { rounds: result, measured };
}

test('in peace as many rounds are measured as count, and medians are taken within rounds', async () => {
  const quiet = [1, 2, 3].map((value) => round([value * 10, 0], [value === 3 ? 10 : 20, 0.01]));
  const { rounds, measured } = await measure(3, quiet);
  assert.is(measured, 3);
  assert.equal(rounds.rows()[0]!, {
    question: 'q',
    unit: 'IOPS',
    ours: 20,
    peers: { peer: 20 },
    ratio: { peer: 1 },
    rounds: 3,
  });
});

test('a disturbed round is measured again and does not count, however good it looks', async () => {
  const rounds = [round([900, 0.2], [100, 0]), round([50, 0], [100, 0]), round([60, 0], [100, 0.3]), round([40, 0], [100, 0])];
  const found = await measure(2, rounds);
  assert.is(found.measured, 4, 'until both were calm twice in the same round');
  assert.is(found.rounds.rows()[0]!.ratio['peer'], 0.45);
});

test('patience ends: then the least disturbed ones count', async () => {
  const found = await measure(1, [round([10, 0.5], [10, 0.5]), round([20, 0.1], [10, 0.1]), round([30, 0.4], [10, 0.4])]);
  assert.is(found.measured, 3);
  assert.is(found.rounds.rows()[0]!.ratio['peer'], 2);
  assert.match(found.rounds.describe('q'), 'q: 3 rounds, 1 count, in which the hypervisor took up to 10 % of the processors');
});

test.run();
