// The choices of the test runner: which files, on which ports, what is left out, and what the closing line says.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { isEndToEnd, selectFiles } from './find-test-files.ts';
import { Summary } from './summary.ts';
import { parseTestHeader } from './test-header.ts';
import { planTests } from './test-plan.ts';
import type { PlanOptions, TestPlan } from './test-plan.ts';
import type { TestHeader } from './test-header.ts';
import { parseUvuReport } from './uvu-report.ts';

const PLAIN = parseTestHeader('');
const outcome = { label: 'a.test.ts', passed: 2, failed: 0, skipped: 0, durationMs: 1234, complaint: null, output: '' };

function plan(files: ReadonlyMap<string, TestHeader>, options: Partial<PlanOptions> = {}): TestPlan {
  return planTests(files, { portsWanted: null, hasNeed: () => true, runsLong: false, ...options });
}

function close(isCi: boolean, prepare: (summary: Summary) => void): { status: number; lines: string[] } {
  const lines: string[] = [];
  const summary = new Summary({ isCi, print: (line) => lines.push(line) });
  prepare(summary);
  return { status: summary.close(), lines };
}

test('a header declares deadline, needs, ports and optional', () => {
  const text =
    '// What it proves.\n// deadline: 300s\n// needs: root fio /dev/fuse\n// ports: both\n// optional\n// long\nimport x;\n';
  assert.equal(parseTestHeader(text), {
    deadlineMs: 300_000,
    needs: ['root', 'fio', '/dev/fuse'],
    isOptional: true,
    isLong: true,
    runsOnBothPorts: true,
  });
  assert.equal(PLAIN, { deadlineMs: 120_000, needs: [], isOptional: false, isLong: false, runsOnBothPorts: false });
  assert.is(parseTestHeader(`${'\n'.repeat(20)}// deadline: 300s\n`).deadlineMs, 120_000);
});

test('files are chosen by parts of their paths', () => {
  const files = ['csi/a.test.ts', 'datapath/src/nbd/b.test.ts', 'e2e/house/c.test.ts', 'e2e/interop/d.test.ts'];
  assert.equal(selectFiles(files, '', false), files);
  assert.equal(selectFiles(files, 'nbd,csi/', false), ['csi/a.test.ts', 'datapath/src/nbd/b.test.ts']);
  assert.equal(selectFiles(files, '', true), ['csi/a.test.ts', 'datapath/src/nbd/b.test.ts', 'e2e/house/c.test.ts']);
  assert.equal(files.filter(isEndToEnd), ['e2e/interop/d.test.ts']);
});

test('a file for both ports runs twice where the ring works', () => {
  const files = new Map([['a.test.ts', { ...PLAIN, runsOnBothPorts: true }]]);
  const labels = plan(files).runs.map((run) => [run.label, run.ports]);
  assert.equal(labels, [
    ['a.test.ts', null],
    ['a.test.ts (libuv)', 'libuv'],
  ]);
});

test('without io_uring a file for both ports runs on libuv, and the ring is named as left out', () => {
  const files = new Map([['a.test.ts', { ...PLAIN, runsOnBothPorts: true }]]);
  const planned = plan(files, { hasNeed: () => false });
  assert.equal(
    planned.runs.map((run) => run.label),
    ['a.test.ts (libuv)'],
  );
  assert.equal(planned.leftOut, [
    { label: 'a.test.ts (ring)', reason: 'needs io_uring, which this machine does not offer', isOptional: true },
  ]);
});

test('the ports that the user names are the only ones', () => {
  const files = new Map([
    ['a.test.ts', PLAIN],
    ['b.test.ts', { ...PLAIN, runsOnBothPorts: true }],
  ]);
  assert.equal(
    plan(files, { portsWanted: 'libuv' }).runs.map((run) => run.label),
    ['a.test.ts (libuv)', 'b.test.ts (libuv)'],
  );
});

test('a file whose need is missing is left out with the reason', () => {
  const files = new Map([['a.test.ts', { ...PLAIN, needs: ['root', 'fio'] }]]);
  const planned = plan(files, { hasNeed: (need) => need === 'root' });
  assert.equal(planned.runs, []);
  assert.equal(planned.leftOut, [
    { label: 'a.test.ts', reason: 'needs fio, which this machine does not have', isOptional: false },
  ]);
});

test('what a missing Kubernetes wants is said in full', () => {
  const files = new Map([['a.test.ts', { ...PLAIN, needs: ['kube'] }]]);
  const [entry] = plan(files, { hasNeed: () => false }).leftOut;
  assert.is(
    entry!.reason,
    'needs kube (Go 1.26 to build the Kubernetes programs, or KUBEBUILDER_ASSETS with all of them), which this machine does not have',
  );
});

test('a long file runs only where it is asked for, and is no failure elsewhere', () => {
  const files = new Map([['a.test.ts', { ...PLAIN, isLong: true, needs: ['kube'] }]]);
  const reason = 'takes long: `make e2e` and `make full` run it';
  assert.equal(plan(files), { runs: [], leftOut: [{ label: 'a.test.ts', reason, isOptional: true }] });
  assert.equal(
    plan(files, { runsLong: true }).runs.map((run) => [run.label, run.programSets]),
    [['a.test.ts', ['kube']]],
  );
});

test('the closing line is the last one and the status follows it', () => {
  const good = close(false, (summary) => summary.add(outcome));
  assert.is(good.lines.at(-1), '2 passed, 0 failed');
  assert.is(good.status, 0);
  const bad = close(false, (summary) => {
    summary.add(outcome);
    summary.add({ ...outcome, label: 'b.test.ts', failed: 3, complaint: 'exited with status 1', output: 'why\n' });
  });
  assert.is(bad.lines.at(-1), '4 passed, 3 failed');
  assert.ok(bad.lines.includes('     | why'));
  assert.is(bad.status, 1);
});

test('a run without a test fails', () => {
  const { status, lines } = close(false, () => {});
  assert.is(lines.at(-1), '0 passed, 0 failed');
  assert.is(status, 1);
});

test('a file left out fails the run under CI=true unless it is optional', () => {
  const run = (isCi: boolean, isOptional: boolean): { status: number; lines: string[] } =>
    close(isCi, (summary) => {
      summary.add(outcome);
      summary.leftOut([{ label: 'c.test.ts', reason: 'needs fio', isOptional }]);
    });
  assert.is(run(false, false).status, 0);
  assert.ok(run(false, false).lines.includes('  c.test.ts: needs fio'));
  assert.is(run(true, true).status, 0);
  assert.is(run(true, false).status, 1);
  assert.is(run(true, false).lines.at(-1), '2 passed, 1 failed');
});

test('the last total of a colourful output counts', () => {
  const total = (count: number): string =>
    `\u001b[32m\n  Total:     ${count}\u001b[39m\n  Passed:    1\n  Skipped:   0\n  Duration:  1ms\n\n`;
  assert.equal(parseUvuReport(total(1) + total(4)), { passed: 1, failed: 3, skipped: 0 });
  assert.is(parseUvuReport('Total: 3\n'), null);
});

test.run();
