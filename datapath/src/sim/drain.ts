// Lets every promise that is ready run to its end. The one place of the simulator that touches the host's event loop:
// the macrotask queue is captured when this file is loaded, before any run replaces the globals by throwing ones.
// Immediates are asked for in batches, because the host drains all microtasks between two of them.

const queueImmediate: (callback: () => void) => unknown = globalThis.setImmediate;
const BATCH = 64;

let waiting: (() => void) | null = null;
let scheduled = 0;

function tick(): void {
  scheduled -= 1;
  const resume = waiting;
  waiting = null;
  if (resume !== null) resume();
}

/** One caller at a time per thread is fast; several at once fall back to one immediate each. */
export function drainMicrotasks(): Promise<void> {
  if (waiting !== null) return new Promise((resolve) => void queueImmediate(resolve));
  if (scheduled === 0) {
    for (; scheduled < BATCH; scheduled += 1) queueImmediate(tick);
  }
  return new Promise((resolve) => (waiting = resolve));
}
