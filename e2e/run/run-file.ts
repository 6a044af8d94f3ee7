// Runs one command as a child in a process group of its own, with a deadline, and judges the outcome.
// Called by run-tests.ts for test files (uvu's totals are read) and for checks (the exit status counts).
// Keeps: when the promise settles, no process of the child's group is left.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { parseUvuReport } from './uvu-report.ts';

export interface Job {
  readonly label: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly deadlineMs: number;
  /** True: the output must end with uvu's total. False: the whole command counts as one test. */
  readonly isUvu: boolean;
}

export interface Outcome {
  readonly label: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly durationMs: number;
  /** What went wrong beyond failed assertions, in one line; null if nothing did. */
  readonly complaint: string | null;
  readonly output: string;
}

interface Ending {
  readonly status: number | null;
  readonly signal: string | null;
  readonly isOverdue: boolean;
  readonly hasLeftovers: boolean;
  readonly output: string;
}

const OUTPUT_HEAD_BYTES_MAX = 64 * 1024;
const OUTPUT_TAIL_BYTES_MAX = 192 * 1024;
const LEFTOVER_GRACE_MS = 2_000;
const PIPE_GRACE_MS = 1_000;

const runningGroups = new Set<number>();

export async function runJob(job: Job): Promise<Outcome> {
  const startedMs = performance.now();
  const ending = await runToEnd(job);
  const durationMs = performance.now() - startedMs;
  return { label: job.label, durationMs, output: ending.output, ...judge(job, ending) };
}

/** Ends every child that still runs; for a runner that is told to stop. */
export function killRunningGroups(): void {
  for (const pid of runningGroups) killGroup(pid);
}

export function judge(job: Job, ending: Ending): Pick<Outcome, 'passed' | 'failed' | 'skipped' | 'complaint'> {
  const report = job.isUvu ? parseUvuReport(ending.output) : null;
  const { passed, failed, skipped } = report ?? { passed: 0, failed: 0, skipped: 0 };
  const complaint = complaintOf(job, ending, report !== null, passed + failed + skipped);
  if (complaint !== null) return { passed, failed: Math.max(1, failed), skipped, complaint };
  if (!job.isUvu) return { passed: 1, failed: 0, skipped: 0, complaint: null };
  return { passed, failed, skipped, complaint: null };
}

function complaintOf(job: Job, ending: Ending, hasTotal: boolean, testCount: number): string | null {
  if (ending.isOverdue) return `ran past its deadline of ${job.deadlineMs / 1000} s and was killed`;
  if (ending.signal !== null) return `was ended by ${ending.signal}`;
  if (job.isUvu && !hasTotal)
    return `exited with status ${ending.status} and printed no total: it crashed or never called test.run()`;
  if (job.isUvu && testCount === 0) return 'holds no test';
  if (ending.status !== 0) return `exited with status ${ending.status}`;
  if (ending.hasLeftovers) return 'left processes behind; they were killed';
  return null;
}

function runToEnd(job: Job): Promise<Ending> {
  return new Promise((resolve, reject) => {
    const child = spawn(job.command, job.args, {
      detached: true, // a process group of its own, so that grandchildren can be found and ended
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...job.env },
    });
    child.once('error', reject);
    const { pid } = child;
    if (pid === undefined) return; // the error event follows
    runningGroups.add(pid);

    const transcript = new Transcript(child);
    let isOverdue = false;
    const deadline = setTimeout(() => {
      isOverdue = true;
      killGroup(pid);
    }, job.deadlineMs);

    child.once('exit', (status, signal) => {
      clearTimeout(deadline);
      void endGroup(pid)
        .then(async (hasLeftovers) => {
          runningGroups.delete(pid);
          await transcript.closed();
          resolve({ status, signal: isOverdue ? null : signal, isOverdue, hasLeftovers, output: transcript.text() });
        })
        .catch(reject);
    });
  });
}

/** Gives the group's last processes a moment to leave, then kills them. True if some had to be killed. */
async function endGroup(pid: number): Promise<boolean> {
  const untilMs = performance.now() + LEFTOVER_GRACE_MS;
  while (isGroupAlive(pid)) {
    if (performance.now() > untilMs) {
      killGroup(pid);
      return true;
    }
    await new Promise((resume) => setTimeout(resume, 20));
  }
  return false;
}

function isGroupAlive(group: number): boolean {
  try {
    process.kill(-group, 0);
  } catch {
    return false; // ESRCH: no process of that group is left.
  }
  // A container without an init keeps ended orphans as zombies: those are not alive.
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.some((pid) => {
    const [state, , pgrp] = statFields(pid);
    return pgrp === String(group) && state !== 'Z' && state !== 'X';
  });
}

/** The fields of /proc/PID/stat from the third on: state, parent, process group. */
function statFields(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
  } catch {
    return []; // The process ended since the folder was read.
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // ESRCH: the group is gone already, which is what was wanted.
  }
}

/** The first and the last part of what a child printed. */
class Transcript {
  readonly #child: ChildProcess;
  readonly #closed: Promise<void>;
  #head = '';
  #tail = '';
  #omitted = 0;

  constructor(child: ChildProcess) {
    this.#child = child;
    this.#closed = new Promise((resolve) => child.once('close', () => resolve()));
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8');
      stream?.on('data', (text: string) => this.#append(text));
    }
  }

  /** Waits for the pipes to close, but not for ever: a process that left the group may hold them. */
  async closed(): Promise<void> {
    const timer = setTimeout(() => {
      this.#child.stdout?.destroy();
      this.#child.stderr?.destroy();
    }, PIPE_GRACE_MS);
    await this.#closed;
    clearTimeout(timer);
  }

  text(): string {
    if (this.#omitted === 0) return this.#head + this.#tail;
    return `${this.#head}\n[... ${this.#omitted} characters left out ...]\n${this.#tail}`;
  }

  #append(text: string): void {
    const room = Math.max(0, OUTPUT_HEAD_BYTES_MAX - this.#head.length);
    this.#head += text.slice(0, room);
    this.#tail += text.slice(room);
    const surplus = this.#tail.length - OUTPUT_TAIL_BYTES_MAX;
    if (surplus <= 0) return;
    this.#omitted += surplus;
    this.#tail = this.#tail.slice(surplus);
  }
}
