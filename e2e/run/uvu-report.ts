// Reads what uvu prints at the end of a test file. Called by run-file.ts.
// A file that prints no total did not finish, whatever its exit status says.

export interface UvuReport {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** The counts of the last total in the output, or null if there is none. */
export function parseUvuReport(output: string): UvuReport | null {
  const plain = output.replace(ANSI_COLOURS, '');
  const totals = [...plain.matchAll(/^ {2}Total: {5}(\d+)\n {2}Passed: {4}(\d+)\n {2}Skipped: {3}(\d+)\n/gm)];
  const last = totals.at(-1);
  if (last === undefined) return null;
  const [total, passed, skipped] = [Number(last[1]), Number(last[2]), Number(last[3])];
  // uvu counts a skipped test in no other figure.
  return { passed, failed: Math.max(0, total - passed), skipped };
}

const ANSI_COLOURS = /\u001b\[[0-9;]*m/g;
