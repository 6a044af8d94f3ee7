// Decides what the runner runs: one entry per file and set of ports, or a reason to leave it out.
// Called by run-tests.ts. Pure, so that every rule of the choice has a test.
import { isEndToEnd } from './find-test-files.ts';
import { missingNeed, sayNeed } from './needs.ts';
import type { NeedCheck } from './needs.ts';
import { PROGRAM_SETS } from './program-sets.ts';
import type { TestHeader } from './test-header.ts';

export interface PlannedRun {
  readonly file: string;
  /** Value of PF_PORTS for the child, or null to leave the choice to the program. */
  readonly ports: string | null;
  readonly label: string;
  readonly deadlineMs: number;
  readonly runsAlone: boolean;
  /** What is built before it runs, names of PROGRAM_SETS: such files run last. */
  readonly programSets: readonly string[];
}

export interface LeftOut {
  readonly label: string;
  readonly reason: string;
  /** Optional ones are no failure, even under CI=true. */
  readonly isOptional: boolean;
}

export interface TestPlan {
  readonly runs: readonly PlannedRun[];
  readonly leftOut: readonly LeftOut[];
}

export interface PlanOptions {
  /** The user's PF_PORTS, or null; then a file that asks for both runs on both. */
  readonly portsWanted: string | null;
  readonly hasNeed: NeedCheck;
  readonly runsLong: boolean;
}

export function planTests(files: ReadonlyMap<string, TestHeader>, { portsWanted, hasNeed, runsLong }: PlanOptions): TestPlan {
  const runs: PlannedRun[] = [];
  const leftOut: LeftOut[] = [];
  for (const [file, header] of files) {
    if (header.isLong && !runsLong) {
      leftOut.push({ label: file, reason: 'takes long: `make e2e` and `make full` run it', isOptional: true });
      continue;
    }
    const missing = missingNeed(header.needs, hasNeed);
    if (missing !== null) {
      const reason = `needs ${sayNeed(missing)}, which this machine does not have`;
      leftOut.push({ label: file, reason, isOptional: header.isOptional });
      continue;
    }
    const needsSecondRun = header.runsOnBothPorts && portsWanted === null;
    if (needsSecondRun && !hasNeed('io_uring')) {
      // The same tests run on libuv, so the behaviour is covered: where the kernel forbids io_uring this is no failure.
      leftOut.push({ label: `${file} (ring)`, reason: 'needs io_uring, which this machine does not offer', isOptional: true });
    }
    const portsOfRuns = needsSecondRun && hasNeed('io_uring') ? [null, 'libuv'] : [needsSecondRun ? 'libuv' : portsWanted];
    for (const ports of portsOfRuns) {
      const label = ports === null ? file : `${file} (${ports})`;
      const programSets = header.needs.filter((need) => Object.hasOwn(PROGRAM_SETS, need));
      runs.push({ file, ports, label, deadlineMs: header.deadlineMs, runsAlone: isEndToEnd(file), programSets });
    }
  }
  return { runs, leftOut };
}
