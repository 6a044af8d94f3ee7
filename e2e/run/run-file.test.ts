// Shows that no way a test file can go wrong is taken for a success: each is a real child process.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import { waitFor } from '../local/wait-for.ts';
import * as assert from 'uvu/assert';
import { runJob } from './run-file.ts';
import type { Outcome } from './run-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'run-file-'));
const UVU = import.meta.resolve('uvu');
const HEAD = `import { spawn } from 'node:child_process'; import { test } from '${UVU}';\n`;

async function run(body: string, deadlineMs = 20_000): Promise<Outcome> {
  const file = join(folder, 'planted.test.mjs');
  writeFileSync(file, HEAD + body);
  return runJob({ label: 'planted', command: process.execPath, args: [file], env: {}, deadlineMs, isUvu: true });
}

function expect(outcome: Outcome, passed: number, failed: number, complaint: string | null): void {
  assert.is(outcome.passed, passed, outcome.output);
  assert.is(outcome.failed, failed, outcome.output);
  assert.is(outcome.complaint, complaint);
}

/** An ended orphan may stay as a zombie where no init collects it. */
function isRunning(pid: number): boolean {
  const file = `/proc/${pid}/stat`;
  return existsSync(file) && !/\) [ZX] /.test(readFileSync(file, 'utf8'));
}

test.after(() => rmSync(folder, { recursive: true }));

test('passed, skipped and failed tests are counted', async () => {
  const outcome = await run(
    "test('a', () => {}); test('b', () => {}); test.skip('c', () => {}); test('d', () => { throw new Error('d broke'); }); test.run();",
  );
  expect(outcome, 2, 1, 'exited with status 1');
  assert.is(outcome.skipped, 1);
  assert.match(outcome.output, 'd broke');
});

test('a file whose tests pass is a success', async () => {
  expect(await run("test('a', () => {}); test.run();"), 1, 0, null);
});

test('a file that crashes before its total is a failure', async () => {
  const complaint = 'exited with status 1 and printed no total: it crashed or never called test.run()';
  expect(await run("test('a', () => {}); test.run(); throw new Error('early');"), 0, 1, complaint);
});

test('a file that never runs or never finishes its tests is a failure', async () => {
  const complaint = (status: number): string =>
    `exited with status ${status} and printed no total: it crashed or never called test.run()`;
  expect(await run("test('a', () => new Promise(() => {})); test.run();"), 0, 1, complaint(1));
  expect(await run("test('a', () => {});"), 0, 1, complaint(0));
});

test('a file without a test is a failure', async () => {
  expect(await run('test.run();'), 0, 1, 'holds no test');
});

test('a hook that throws is a failure although uvu exits with status 0', async () => {
  const outcome = await run("test.before(() => { throw new Error('hook'); }); test('a', () => {}); test.run();");
  assert.is(outcome.passed, 0);
  assert.is(outcome.failed, 1);
});

test('a crash after the total is a failure', async () => {
  const outcome = await run("test('a', () => {}); test.run(); process.on('exit', () => { process.exitCode = 3; });");
  expect(outcome, 1, 1, 'exited with status 3');
});

test('a file that hangs is killed at its deadline, with its children', async () => {
  const outcome = await run("spawn('sleep', ['600']); setInterval(() => {}, 1000);", 700);
  expect(outcome, 0, 1, 'ran past its deadline of 0.7 s and was killed');
  assert.ok(outcome.durationMs < 5_000);
});

test('a file that leaves a process behind is a failure, and the process is gone', async () => {
  const outcome = await run(
    "test('a', () => { const c = spawn('sleep', ['600'], { stdio: 'ignore' }); c.unref(); console.log('child=' + c.pid + ';'); }); test.run();",
  );
  expect(outcome, 1, 1, 'left processes behind; they were killed');
  const child = Number(/child=(\d+);/.exec(outcome.output)?.[1]);
  // A killed process stays in the table until its new parent has looked.
  await waitFor(`the end of process ${child}`, 5000, async () => (isRunning(child) ? null : true));
});

test('a check counts by its exit status alone', async () => {
  const job = { label: 'check', command: '/bin/sh', env: {}, deadlineMs: 5_000, isUvu: false };
  expect(await runJob({ ...job, args: ['-c', 'exit 0'] }), 1, 0, null);
  expect(await runJob({ ...job, args: ['-c', 'exit 2'] }), 0, 1, 'exited with status 2');
});

test('a flood of output keeps its beginning and its end', async () => {
  const flood =
    "console.log('first'); for (let i = 0; i < 40000; i += 1) console.log('line ' + i); test('a', () => {}); test.run();";
  const outcome = await run(flood);
  expect(outcome, 1, 0, null);
  assert.match(outcome.output, /^first\n/);
  assert.match(outcome.output, 'characters left out');
  assert.ok(outcome.output.length < 300_000);
});

test.run();
