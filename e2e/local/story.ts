// What `make run` tells: a line a step while it works, and all of it as a table at the end.
import { formatErrorChain, formatTable } from '@pureflash/datapath/base';

interface Step {
  readonly title: string;
  readonly seconds: number;
  readonly outcome: string;
}

export class Story {
  readonly #steps: Step[] = [];
  hasFailed = false;

  /** Runs a step; what it returns (a text, or an object with a `note`) is its outcome in the table. */
  async step<T>(title: string, work: () => Promise<T>): Promise<T> {
    const start = performance.now();
    this.say(`...   ${title}`);
    try {
      const result = await work();
      this.#end(title, start, noteOf(result));
      return result;
    } catch (error) {
      this.#end(title, start, 'FAILED');
      throw error;
    }
  }

  say(text: string): void {
    process.stdout.write(`${text}\n`);
  }

  fail(error: unknown): void {
    this.hasFailed = true;
    this.say(`failed: ${formatErrorChain(error)}`);
  }

  table(): void {
    const rows = this.#steps.map((step) => [step.title, step.outcome, `${step.seconds.toFixed(1)} s`]);
    this.say(`\n${formatTable(['Step', 'Outcome', 'Time'], rows)}\n`);
  }

  #end(title: string, start: number, outcome: string): void {
    const seconds = (performance.now() - start) / 1000;
    this.#steps.push({ title, seconds, outcome });
    this.say(
      `${outcome === 'FAILED' ? 'FAIL ' : 'ok   '} ${title}${outcome === '' ? '' : `: ${outcome}`} (${seconds.toFixed(1)} s)`,
    );
  }
}

function noteOf(result: unknown): string {
  if (typeof result === 'string') return result;
  if (typeof result === 'object' && result !== null && 'note' in result) return String(result.note);
  return '';
}
