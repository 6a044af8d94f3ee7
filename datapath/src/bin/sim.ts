// The simulated cluster: `--seed N` runs one seed and tells all about it; `--seeds N --from M` runs many, on `--jobs` threads (2).
// The last line of many is "seeds N, violations V"; the exit status is 1 when there was a violation.
import { availableParallelism } from 'node:os';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { formatErrorChain } from '../base/errors.ts';
import { parseFlags } from '../cli/flags.ts';
import { SIM_COMMAND, simWishOf, type SimWish } from '../cli/sim-command.ts';
import { failRunningSeed, runSeed, type RunReport } from '../sim/cluster/cluster-run.ts';
import { formatReport } from '../sim/cluster/format-report.ts';

const HANG_MS = 120_000; // A run takes about a second.

if (isMainThread) await main();
else await work(workerData as { counter: SharedArrayBuffer; last: number });

async function main(): Promise<void> {
  const wish = readWish();
  if (wish === null) return;
  const { from, count, jobs } = wish;
  const counter = new SharedArrayBuffer(4);
  Atomics.store(new Int32Array(counter), 0, from);
  let done = 0;
  let violations = 0;
  const startedAt = Date.now();
  const take = (report: RunReport): void => {
    done += 1;
    if (report.violation !== null) violations += 1;
    if (report.violation !== null || count === 1) process.stdout.write(formatReport(report, count === 1));
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

/** Null: only help was wanted, or the words are no wish, which has been said. */
function readWish(): SimWish | null {
  try {
    const command = parseFlags(SIM_COMMAND, process.argv.slice(2));
    if (!command.isHelp) return simWishOf(command.flags);
    process.stdout.write(command.helpText);
  } catch (error) {
    process.stderr.write(`sim: ${formatErrorChain(error)}\n`);
    process.exitCode = 2;
  }
  return null;
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
