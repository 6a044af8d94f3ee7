// Decides what the runner runs: one entry per file and set of ports, or a reason to leave it out.
// Called by run-tests.ts. Pure, so that every rule of the choice has a test.
import { isEndToEnd } from './find-test-files.ts';
import { missingNeed } from './needs.ts';
import type { NeedCheck } from './needs.ts';
import type { TestHeader } from './test-header.ts';

export interface PlannedRun {
  readonly file: string;
  /** Value of PF_PORTS for the child, or null to leave the choice to the program. */
  readonly ports: string | null;
  readonly label: string;
  readonly deadlineMs: number;
  readonly runsAlone: boolean;
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

/** `portsWanted` is the user's PF_PORTS, or null; then a file that asks for both runs on both. */
export function planTests(files: ReadonlyMap<string, TestHeader>, portsWanted: string | null, hasNeed: NeedCheck): TestPlan {
  const runs: PlannedRun[] = [];
  const leftOut: LeftOut[] = [];
  for (const [file, header] of files) {
    const missing = missingNeed(header.needs, hasNeed);
    if (missing !== null) {
      leftOut.push({ label: file, reason: `needs ${missing}, which this machine does not have`, isOptional: header.isOptional });
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
      runs.push({ file, ports, label, deadlineMs: header.deadlineMs, runsAlone: isEndToEnd(file) });
    }
  }
  return { runs, leftOut };
}
