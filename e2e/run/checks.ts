// The checks that are commands of their own: format, lint and types. Each counts as one test.
// Called by run-tests.ts; the house rules are tests in e2e/house and need no entry here.
import type { Job } from './run-file.ts';

const CHECK_DEADLINE_MS = 300_000;

export const CHECKS: readonly Job[] = [
  check(
    'format (prettier)',
    'prettier/bin/prettier.cjs',
    '--check',
    '--log-level',
    'warn',
    '--cache',
    '--cache-location',
    'build/prettier-cache',
    '.',
  ),
  check('lint (eslint)', 'eslint/bin/eslint.js', '--max-warnings', '0', '.'),
  check('types (tsc)', 'typescript/bin/tsc', '--project', '.', '--incremental', '--tsBuildInfoFile', 'build/tsc-cache'),
];

function check(label: string, program: string, ...args: string[]): Job {
  return {
    label: `check: ${label}`,
    command: process.execPath,
    args: [`node_modules/${program}`, ...args],
    env: {},
    deadlineMs: CHECK_DEADLINE_MS,
    isUvu: false,
  };
}
