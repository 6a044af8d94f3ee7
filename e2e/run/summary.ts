// Prints one line per file while the run goes on, what failed in full, and the closing lines.
// Called by run-tests.ts. The very last line is `N passed, N failed`: other programs read it.
import type { Outcome } from './run-file.ts';
import type { LeftOut } from './test-plan.ts';

export interface SummaryOptions {
  readonly isCi: boolean;
  /** Takes each finished line; the terminal unless a test listens. */
  readonly print?: (line: string) => void;
}

const SLOWEST_SHOWN = 5;

export class Summary {
  readonly #isCi: boolean;
  readonly #print: (line: string) => void;
  readonly #outcomes: Outcome[] = [];
  readonly #leftOut: LeftOut[] = [];

  constructor(options: SummaryOptions) {
    this.#isCi = options.isCi;
    this.#print = options.print ?? ((line) => console.log(line));
  }

  add(outcome: Outcome): void {
    this.#outcomes.push(outcome);
    const { label, passed, failed, skipped, durationMs, complaint } = outcome;
    const counts = [`${passed} passed`, failed > 0 ? `${failed} FAILED` : '', skipped > 0 ? `${skipped} skipped` : ''];
    const mark = failed > 0 ? 'FAIL' : 'ok  ';
    this.#print(`${mark} ${label}  ${counts.filter((count) => count !== '').join(', ')}  ${seconds(durationMs)}`);
    if (failed === 0) return;
    if (outcome.output !== '') this.#print(outcome.output.trimEnd().replace(/^/gm, '     | '));
    if (complaint !== null) this.#print(`     ${label} ${complaint}`);
  }

  leftOut(entries: readonly LeftOut[]): void {
    this.#leftOut.push(...entries);
  }

  /** Prints the end of the report and returns the exit status. */
  close(): number {
    this.#printLeftOut();
    this.#printSlowest();
    const isRefused = (entry: LeftOut): boolean => this.#isCi && !entry.isOptional;
    const passed = this.#outcomes.reduce((sum, outcome) => sum + outcome.passed, 0);
    let failed = this.#outcomes.reduce((sum, outcome) => sum + outcome.failed, 0);
    failed += this.#leftOut.filter(isRefused).length;
    this.#print('');
    if (failed > 0) this.#print('failed:');
    for (const outcome of this.#outcomes) {
      if (outcome.failed > 0) this.#print(`  ${outcome.label}`);
    }
    for (const entry of this.#leftOut) {
      if (isRefused(entry)) this.#print(`  ${entry.label}: left out, which is a failure under CI=true`);
    }
    if (passed + failed === 0) this.#print('no test ran: check the value of ONLY');
    this.#print(`${passed} passed, ${failed} failed`);
    return failed > 0 || passed === 0 ? 1 : 0;
  }

  #printLeftOut(): void {
    if (this.#leftOut.length === 0) return;
    this.#print('');
    this.#print('left out:');
    for (const entry of this.#leftOut) this.#print(`  ${entry.label}: ${entry.reason}`);
  }

  #printSlowest(): void {
    if (this.#outcomes.length <= SLOWEST_SHOWN) return;
    this.#print('');
    this.#print('slowest:');
    const slowest = this.#outcomes.toSorted((a, b) => b.durationMs - a.durationMs).slice(0, SLOWEST_SHOWN);
    for (const outcome of slowest) this.#print(`  ${seconds(outcome.durationMs).padStart(8)}  ${outcome.label}`);
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
