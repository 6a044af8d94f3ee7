// When a process that has ended by itself is started again.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { judgeExit, type RestartPolicy, type Verdict } from './restart-policy.ts';

const POLICY: RestartPolicy = { mode: 'always', firstDelayMs: 100, maxDelayMs: 1000, stableAfterMs: 5000, crashLimit: 6 };
const FAILED = { code: 1, signal: null };
const CLEAN = { code: 0, signal: null };
const KILLED = { code: null, signal: 'SIGKILL' };

const say = (verdict: Verdict): string => (verdict.kind === 'restart' ? `after ${verdict.delayMs}` : verdict.kind);

test('each end in succession doubles the delay up to the limit; one too many is a crash loop', () => {
  const said: string[] = [];
  for (let crashes = 0; crashes < 7; crashes += 1) said.push(say(judgeExit(POLICY, crashes, FAILED, 10)));
  assert.equal(said, ['after 100', 'after 200', 'after 400', 'after 800', 'after 1000', 'after 1000', 'crash-loop']);
});

test('a process that had run for long enough starts the count anew', () => {
  assert.equal(judgeExit(POLICY, 6, FAILED, 4999), { kind: 'crash-loop', crashes: 7 });
  assert.equal(judgeExit(POLICY, 6, FAILED, 5000), { kind: 'restart', delayMs: 100, crashes: 1 });
});

test('the mode decides about clean ends, failures and signals', () => {
  const ask = (mode: RestartPolicy['mode']): string[] =>
    [CLEAN, FAILED, KILLED].map((status) => say(judgeExit({ ...POLICY, mode }, 0, status, 10)));
  assert.equal(ask('always'), ['after 100', 'after 100', 'after 100']);
  assert.equal(ask('on-failure'), ['stay-ended', 'after 100', 'after 100']);
  assert.equal(ask('never'), ['stay-ended', 'stay-ended', 'stay-ended']);
});

test('an end that nobody saw is a failure', () => {
  assert.is(say(judgeExit({ ...POLICY, mode: 'on-failure' }, 0, { code: null, signal: null }, 10)), 'after 100');
});

test('the delay stays finite after any number of crashes', () => {
  assert.is(say(judgeExit({ ...POLICY, crashLimit: Infinity }, 5000, FAILED, 10)), 'after 1000');
});

test.run();
