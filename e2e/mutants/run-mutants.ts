// Plants each mutation of mutations.ts in a copy of the tree, lets the seeds and tests that should notice run against it, and prints
// who noticed. Behind `make mutants`. Ends with "mutants N, caught N"; the exit status is 1 when one survived, when its text is not
// in the tree exactly once, or when the tree without any mutation does not pass.
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { formatTable } from '../../datapath/src/base/table.ts';
import { BASELINE_SEEDS, MUTATIONS, type Mutation } from './mutations.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const AT_ONCE = 2;
/** A file of tests takes a minute at most; seeds have their own watchdog. */
const TEST_DEADLINE_MS = 300_000;
const SEEDS_DEADLINE_MS = 1_800_000;
const HUNG = -1;
const NAME_LENGTH_MAX = 60;

interface Result {
  readonly mutation: Mutation;
  /** Null: it survived. */
  readonly caughtBy: string | null;
  readonly tookMs: number;
}

const { values } = parseArgs({ options: { only: { type: 'string' }, 'skip-baseline': { type: 'boolean' } } });
const parts = (values.only ?? '').split(',').filter((part) => part !== '');
const chosen = MUTATIONS.filter((mutation) => parts.length === 0 || parts.some((part) => mutation.name.includes(part)));
process.exitCode = (await main()) ? 0 : 1;

async function main(): Promise<boolean> {
  const misplaced = chosen.filter((mutation) => occurrences(mutation) !== 1);
  for (const mutation of misplaced) {
    console.log(
      `mutation "${mutation.name}": its text occurs ${occurrences(mutation)} times in ${mutation.file}, not once; write it anew in mutations.ts`,
    );
  }
  const baseline = values['skip-baseline'] === true ? null : await runBaseline();
  if (baseline !== null) {
    console.log(`the tree without any mutation does not pass: ${baseline}`);
    return false;
  }
  const queue = chosen.filter((mutation) => !misplaced.includes(mutation));
  const results: Result[] = [];
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        const result = await runMutation(next);
        results.push(result);
        console.log(`${next.name}: ${result.caughtBy ?? 'SURVIVED'} (${seconds(result.tookMs)})`);
      }
    }),
  );
  const rows = chosen.flatMap((mutation) => results.filter((result) => result.mutation === mutation)).map(rowOf);
  console.log(formatTable(['mutation', 'caught by', 'time'], rows));
  const caught = results.filter((result) => result.caughtBy !== null).length;
  console.log(`mutants ${chosen.length}, caught ${caught}`);
  return caught === chosen.length;
}

function rowOf({ mutation, caughtBy, tookMs }: Result): string[] {
  return [mutation.name, caughtBy ?? 'nobody', seconds(tookMs)];
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

function shorten(name: string): string {
  return name.length <= NAME_LENGTH_MAX ? name : `${name.slice(0, NAME_LENGTH_MAX)}...`;
}

function occurrences(mutation: Mutation): number {
  return readFileSync(join(ROOT, mutation.file), 'utf8').split(mutation.find).length - 1;
}

/** Null, or what failed. The seeds and tests are those that the mutations are judged by. */
async function runBaseline(): Promise<string | null> {
  const startedAt = Date.now();
  const tests = [...new Set(chosen.flatMap((mutation) => mutation.tests ?? []))];
  const folder = copyTree();
  try {
    const [seeds, ...failures] = await Promise.all([runSeeds(folder, 1, BASELINE_SEEDS), runTests(folder, tests)]);
    const failed = [seeds, ...failures].find((each) => each !== null);
    if (failed === undefined)
      console.log(
        `baseline: seeds 1 to ${BASELINE_SEEDS} and ${tests.length} test files pass (${seconds(Date.now() - startedAt)})`,
      );
    return failed ?? null;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function runMutation(mutation: Mutation): Promise<Result> {
  const startedAt = Date.now();
  const folder = copyTree();
  try {
    const path = join(folder, mutation.file);
    writeFileSync(
      path,
      readFileSync(path, 'utf8').replace(mutation.find, () => mutation.replace),
    );
    const byTest = await runTests(folder, mutation.tests ?? []);
    const [from, count] = mutation.seeds ?? [1, BASELINE_SEEDS];
    const caughtBy = byTest ?? (count === 0 ? null : await runSeeds(folder, from, count));
    return { mutation, caughtBy, tookMs: Date.now() - startedAt };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The workspaces; packages are linked, so the datapath of the others is the real one. */
function copyTree(): string {
  const folder = mkdtempSync(join(tmpdir(), 'mutant-'));
  for (const workspace of ['datapath', 'csi', 'operator'])
    cpSync(join(ROOT, workspace), join(folder, workspace), {
      recursive: true,
      filter: (path) => !path.includes('/node_modules'),
    });
  for (const name of ['package.json', 'tsconfig.json']) cpSync(join(ROOT, name), join(folder, name));
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  return folder;
}

async function runTests(folder: string, files: readonly string[]): Promise<string | null> {
  for (const file of files) {
    const { status, output } = await runNode(folder, [file], /^\s*FAIL .*/m);
    if (status === 0) continue;
    const base = file.split('/').at(-1)!;
    const name = /FAIL\s+(?:\S+\s+)?"(.+)"/.exec(output)?.[1];
    if (name !== undefined) return `test "${shorten(name)}" in ${base}`;
    return status === HUNG ? `${base}, which does not end` : `${base}, status ${status}`;
  }
  return null;
}

async function runSeeds(folder: string, from: number, count: number): Promise<string | null> {
  const args = ['datapath/src/bin/sim.ts', '--seeds', String(count), '--from', String(from), '--jobs', '1'];
  const { status, output } = await runNode(folder, args, /^seed \d+ VIOLATION.*\n/m, SEEDS_DEADLINE_MS);
  if (status === 0) return null;
  if (status === HUNG)
    throw new Error(`${count} seeds have not ended within ${SEEDS_DEADLINE_MS / 1000} s: the machine is too slow`);
  const seed = /seed (\d+)/.exec(/^seed \d+ VIOLATION|seed \d+ has run|seed \d+ broke/m.exec(output)?.[0] ?? '')?.[1];
  return seed === undefined ? `status ${status}` : `seed ${seed}`;
}

/** Ends as soon as the output matches, with status 1. */
function runNode(
  folder: string,
  args: readonly string[],
  stopAt: RegExp,
  deadlineMs = TEST_DEADLINE_MS,
): Promise<{ status: number; output: string }> {
  return new Promise((done) => {
    // The compile cache knows files by their path; copies would only fill it.
    const env = { ...process.env, NODE_DISABLE_COMPILE_CACHE: '1', FORCE_COLOR: '0', NO_COLOR: '1' };
    const child = spawn(process.execPath, args, { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    let isCaught = false;
    let isHung = false;
    const take = (chunk: Buffer): void => {
      output += chunk.toString();
      if (isCaught || !stopAt.test(output)) return;
      isCaught = true;
      child.kill('SIGKILL');
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    const deadline = setTimeout(() => {
      isHung = true;
      child.kill('SIGKILL');
    }, deadlineMs);
    child.on('close', (code) => {
      clearTimeout(deadline);
      done({ status: isCaught ? 1 : isHung ? HUNG : (code ?? 1), output });
    });
  });
}
