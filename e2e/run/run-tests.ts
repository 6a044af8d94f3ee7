// The test runner behind `make test`, `make check` and `make fast`: every *.test.ts of the workspaces is a child
// process of this Node; the last line of the output is `N passed, N failed`, alone on its line.
// usage: run-tests.ts [--checks] [--unit] [--long] [--only part,part]    environment: CI, JOBS, PF_PORTS, PF_FULL, BUDGET_S
// What needs Kubernetes or csi-sanity runs last: where their programs are not built yet, that takes minutes.
// Fails on: any failed test, a file that crashes, hangs or prints no total, under CI=true a file left out
// that is not optional, and a run in which no test ran at all.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { CHECKS } from './checks.ts';
import { findTestFiles, selectFiles } from './find-test-files.ts';
import { machineNeeds } from './needs.ts';
import { killRunningGroups, runJob } from './run-file.ts';
import type { Job, Outcome } from './run-file.ts';
import { PROGRAM_SETS } from './program-sets.ts';
import { Summary } from './summary.ts';
import { parseTestHeader } from './test-header.ts';
import { planTests } from './test-plan.ts';
import type { PlannedRun } from './test-plan.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const JOBS_DEFAULT = 2;
/** PF_FULL=1: the long forms of the tests. */
const isFull = process.env['PF_FULL'] === '1';
const FULL_DEADLINE_FACTOR = 10;
/** Sets of programs to whether they could be built. */
const builtSets = new Map<string, boolean>();
const BUDGET_S_DEFAULT = isFull ? 180 * 60 : 35 * 60;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      checks: { type: 'boolean', default: false },
      unit: { type: 'boolean', default: false },
      long: { type: 'boolean', default: isFull },
      only: { type: 'string', default: '' },
    },
  });
  const files = selectFiles(findTestFiles(ROOT), values.only, values.unit);
  const headers = new Map(files.map((file) => [file, parseTestHeader(readFileSync(join(ROOT, file), 'utf8'))]));
  const plan = planTests(headers, {
    portsWanted: process.env['PF_PORTS'] || null,
    hasNeed: machineNeeds(ROOT),
    runsLong: values.long,
  });

  const summary = new Summary({ isCi: process.env['CI'] === 'true' });
  const budgetMs = Number(process.env['BUDGET_S'] || BUDGET_S_DEFAULT) * 1000;
  const parallelism = Number(process.env['JOBS'] || JOBS_DEFAULT);
  const run = async (jobs: readonly Job[], width: number): Promise<void> => {
    await runPool(jobs, width, budgetMs, (outcome) => summary.add(outcome));
  };

  if (values.checks) await run(CHECKS, parallelism);
  const others = plan.runs.filter((planned) => planned.programSets.length === 0);
  await run(others.filter((planned) => !planned.runsAlone).map(jobOf), parallelism);
  await run(others.filter((planned) => planned.runsAlone).map(jobOf), 1);
  summary.leftOut(plan.leftOut);
  for (const planned of plan.runs.filter(({ programSets }) => programSets.length > 0)) {
    const unbuilt = planned.programSets.find((name) => !isBuilt(name));
    if (unbuilt === undefined) await run([jobOf(planned)], 1);
    else summary.leftOut([{ label: planned.label, reason: reasonOf(unbuilt), isOptional: false }]);
  }
  process.exitCode = summary.close();
}

/** Builds a set of programs where it is not built, once a run, with its progress on this terminal. */
function isBuilt(programSet: string): boolean {
  const known = builtSets.get(programSet);
  if (known !== undefined) return known;
  const script = PROGRAM_SETS[programSet]?.script ?? '';
  const answer = spawnSync(process.execPath, [script], { stdio: 'inherit' }).status === 0;
  builtSets.set(programSet, answer);
  return answer;
}

function reasonOf(unbuilt: string): string {
  return `${PROGRAM_SETS[unbuilt]?.what} could not be built, as said above`;
}

function jobOf(planned: PlannedRun): Job {
  return {
    label: planned.label,
    command: process.execPath,
    args: [planned.file],
    env: planned.ports === null ? {} : { PF_PORTS: planned.ports },
    deadlineMs: planned.deadlineMs * (isFull ? FULL_DEADLINE_FACTOR : 1),
    isUvu: true,
  };
}

/** Runs the jobs `width` at a time; once the budget of the whole run is spent, the rest fails without being started. */
async function runPool(jobs: readonly Job[], width: number, budgetMs: number, report: (outcome: Outcome) => void): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (;;) {
      const job = jobs[next++];
      if (job === undefined) return;
      report(performance.now() < budgetMs ? await runJob(job) : notStarted(job, budgetMs));
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, width) }, worker));
}

function notStarted(job: Job, budgetMs: number): Outcome {
  const complaint = `was not started: the whole run had already taken ${budgetMs / 1000} s`;
  return { label: job.label, passed: 0, failed: 1, skipped: 0, durationMs: 0, complaint, output: '' };
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    killRunningGroups();
    process.exit(130);
  });
}

process.chdir(ROOT);
process.env['PATH'] = `${join(ROOT, 'node_modules/.bin')}:${process.env['PATH'] ?? ''}`;
await main();
