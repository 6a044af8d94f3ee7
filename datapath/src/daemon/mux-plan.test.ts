// The difference between what is wished and what a daemon has.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { planMux } from './mux-plan.ts';

/** "a1 b2": a with the configuration 1, b with 2. */
const map = (text: string): Map<string, string> =>
  new Map(text.split(' ').flatMap((each) => (each === '' ? [] : [[each[0]!, each[1]!]])));

const TABLE: readonly (readonly [wished: string, attached: string, steps: string])[] = [
  ['', '', ''],
  ['a1', '', 'attach a'],
  ['', 'a1', 'detach a'],
  ['a1', 'a1', ''],
  ['a2', 'a1', 'change a'],
  ['a1 b2 c3', 'b1 c3 d4', 'detach d, attach a, change b'],
  ['b1 a1', 'd1 c1', 'detach d, detach c, attach b, attach a'],
];

for (const [wished, attached, steps] of TABLE) {
  test(`wished "${wished}", attached "${attached}": ${steps === '' ? 'nothing' : steps}`, () => {
    const plan = planMux(map(wished), map(attached));
    assert.is(plan.map(({ kind, name }) => `${kind} ${name}`).join(', '), steps);
  });
}

test.run();
