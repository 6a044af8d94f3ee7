// In a virtual machine the hypervisor takes processors away, and a chain of wake-ups suffers more from that than one process that waits
// for a disk. A sample during which it took too much says nothing about the programs: it is taken once more, and the less
// disturbed one counts, whatever it says.
import { readFileSync } from 'node:fs';

/** Of all processors' time. */
const MOST_STOLEN = 0.03;

interface ProcessorTime {
  readonly all: number;
  readonly stolen: number;
}

interface Measured<Value> {
  readonly value: Value;
  /** Share of all processors' time. */
  readonly stolen: number;
}

/** Sums up the samples of one benchmark. */
export class Samples {
  #count = 0;
  #disturbed = 0;

  /** What `sample` answers in its less disturbed run. */
  async take<Value>(sample: () => Promise<Value>): Promise<Value> {
    const first = await measured(sample);
    const least = first.stolen > MOST_STOLEN ? lessDisturbed(first, await measured(sample)) : first;
    this.#count += 1;
    if (least.stolen > MOST_STOLEN) this.#disturbed += 1;
    return least.value;
  }

  describe(): string {
    const limit = `${MOST_STOLEN * 100} % of the processors`;
    return `samples: ${this.#count}; the hypervisor took more than ${limit} in ${this.#disturbed} of them, again when repeated`;
  }
}

async function measured<Value>(sample: () => Promise<Value>): Promise<Measured<Value>> {
  const before = processorTime();
  const value = await sample();
  return { value, stolen: stolenShare(before, processorTime()) };
}

const lessDisturbed = <Value>(a: Measured<Value>, b: Measured<Value>): Measured<Value> => (b.stolen < a.stolen ? b : a);

/** Of /proc/stat's first line, in ticks: user, nice, system, idle, iowait, irq, softirq, steal. */
function processorTime(): ProcessorTime {
  const line = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]!;
  const ticks = line.split(/\s+/).slice(1, 9).map(Number);
  return { all: ticks.reduce((sum, each) => sum + each, 0), stolen: ticks[7]! };
}

const stolenShare = (before: ProcessorTime, after: ProcessorTime): number =>
  (after.stolen - before.stolen) / Math.max(1, after.all - before.all);
