// What a test file declares about itself in its first lines:
//   // deadline: 300s         how long it may run (120 s unless told)
//   // needs: root fio        what must be there (see needs.ts); otherwise the file is left out, with the reason
//   // optional               being left out is no failure even under CI=true
//   // long                   runs in `make e2e` and `make full` only
//   // ports: both            run twice: on the machine's ports (the ring, where it can) and on libuv
// Called by run-tests.ts.

export interface TestHeader {
  readonly deadlineMs: number;
  readonly needs: readonly string[];
  readonly isOptional: boolean;
  readonly isLong: boolean;
  readonly runsOnBothPorts: boolean;
}

export const DEADLINE_MS_DEFAULT = 120_000;
const HEADER_LINES_MAX = 15;

export function parseTestHeader(source: string): TestHeader {
  const lines = source.split('\n', HEADER_LINES_MAX);
  const find = (pattern: RegExp): string | undefined => {
    for (const line of lines) {
      const match = pattern.exec(line);
      if (match !== null) return match[1] ?? '';
    }
    return undefined;
  };
  const deadline = find(/^\/\/ deadline: (\d+) ?s\b/);
  const needs = find(/^\/\/ needs: (.+)$/);
  return {
    deadlineMs: deadline === undefined ? DEADLINE_MS_DEFAULT : Number(deadline) * 1000,
    needs: needs === undefined ? [] : needs.trim().split(/[\s,]+/),
    isOptional: find(/^\/\/ optional\b/) !== undefined,
    isLong: find(/^\/\/ long\b/) !== undefined,
    runsOnBothPorts: find(/^\/\/ ports: (both)\b/) !== undefined,
  };
}
