// The simulated cluster: `--seed N` runs one seed and tells all about it; `--seeds N --from M` runs many, on `--jobs` threads (2).
// The last line of many is "seeds N, violations V"; the exit status is 1 when there was a violation.
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { failRunningSeed, runSeed, type RunReport } from '../sim/cluster/cluster-run.ts';

/** A run takes about a second; one that takes this long hangs. */
const HANG_MS = 120_000;
const TEXT = { type: 'string' } as const;

if (isMainThread) await main();
else await work(workerData as { counter: SharedArrayBuffer; last: number });

interface Wish {
  readonly from: number;
  readonly count: number;
  readonly jobs: number;
}

/** Ends the process where the words are no wish. */
function wishOf(words: readonly string[]): Wish {
  try {
    const { values } = parseArgs({ args: [...words], options: { seed: TEXT, seeds: TEXT, from: TEXT, jobs: TEXT } });
    const from = Number(values.seed ?? values.from ?? 1);
    const count = values.seed === undefined ? Number(values.seeds ?? 100) : 1;
    const jobs = Number(values.jobs ?? 2);
    if ([from, count, jobs].every((each) => Number.isSafeInteger(each)) && from >= 0 && count >= 1 && jobs >= 1)
      return { from, count, jobs };
  } catch {
    // A word that it does not know.
  }
  process.stderr.write('cannot run seeds: write --seed N, or --seeds N --from M, with whole numbers; --jobs N for the threads\n');
  process.exit(2);
}

async function main(): Promise<void> {
  const { from, count, jobs } = wishOf(process.argv.slice(2));
  const counter = new SharedArrayBuffer(4);
  Atomics.store(new Int32Array(counter), 0, from);
  let done = 0;
  let violations = 0;
  const startedAt = Date.now();
  const take = (report: RunReport): void => {
    done += 1;
    if (report.violation !== null) violations += 1;
    if (report.violation !== null || count === 1) process.stdout.write(tell(report));
    if (count > 1 && done % 25 === 0)
      process.stdout.write(
        `${done} of ${count} seeds, ${violations} violations, ${Math.round((Date.now() - startedAt) / 1000)} s\n`,
      );
  };
  const threads = Math.min(jobs, availableParallelism(), count);
  await Promise.all(Array.from({ length: threads }, () => supervise({ counter, last: from + count - 1 }, take)));
  process.stdout.write(`seeds ${count}, violations ${violations}\n`);
  process.exit(violations === 0 ? 0 : 1);
}

/** One thread; a seed that hangs ends the program. */
function supervise(data: { counter: SharedArrayBuffer; last: number }, take: (report: RunReport) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: data });
    let seed = 0;
    const hung = (): void => reject(new Error(`seed ${seed} has run for ${HANG_MS / 1000} s: it hangs; make sim SEED=${seed}`));
    let watchdog = setTimeout(hung, HANG_MS);
    worker.on('message', (message: RunReport | number) => {
      clearTimeout(watchdog);
      watchdog = setTimeout(hung, HANG_MS);
      if (typeof message === 'number') seed = message;
      else take(message);
    });
    worker.on('error', (error) => reject(new Error(`seed ${seed} broke its thread; make sim SEED=${seed}`, { cause: error })));
    worker.on('exit', () => {
      clearTimeout(watchdog);
      resolve();
    });
  });
}

async function work({ counter, last }: { counter: SharedArrayBuffer; last: number }): Promise<void> {
  process.on('unhandledRejection', failRunningSeed);
  for (let seed = Atomics.add(new Int32Array(counter), 0, 1); seed <= last; seed = Atomics.add(new Int32Array(counter), 0, 1)) {
    parentPort!.postMessage(seed);
    parentPort!.postMessage(await runSeed(seed));
  }
}

function tell(report: RunReport): string {
  const { seed, violation, profile, faults, traceHash, virtualMs, eventCount, requestCount, sectorsChecked, log } = report;
  const counts = `${virtualMs.toFixed(0)} ms of virtual time, ${eventCount} events, ${requestCount} requests, ${sectorsChecked} sectors checked, trace ${traceHash}`;
  if (violation === null) return `seed ${seed}: ${profile}\n${faults}\n${counts}\n`;
  const told = process.argv.includes('--seed') ? `${log}\n` : '';
  return `${told}seed ${seed} VIOLATION: ${violation}\n  ${profile}\n  ${counts}\n  to see it again: make sim SEED=${seed}\n`;
}
