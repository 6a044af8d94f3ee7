// What runs at the end of a turn of the loop. The loop's owner (libuv side, ring, simulator) calls run() after the turn's
// events; `wake` asks it to do so and is called when the first task of a turn is registered.
import type { Turn, TurnTask } from './clock.ts';

/** Tasks may register tasks; after this many rounds the loop gets its turn before the rest. */
const MAX_ROUNDS = 16;

export class TurnQueue implements Turn {
  readonly #wake: () => void;
  /** Counted apart: setting the length of an array costs more than running a task. */
  #tasks: (TurnTask | null)[] = [];
  #taskCount = 0;
  #running: (TurnTask | null)[] = [];
  #isRunning = false;

  constructor(wake: () => void) {
    this.#wake = wake;
  }

  get isEmpty(): boolean {
    return this.#taskCount === 0;
  }

  atEnd(task: TurnTask): void {
    const at = this.#taskCount;
    if (at === this.#tasks.length) this.#tasks.push(task);
    else this.#tasks[at] = task;
    this.#taskCount = at + 1;
    if (at === 0 && !this.#isRunning) this.#wake();
  }

  run(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    try {
      for (let round = 0; round < MAX_ROUNDS && this.#taskCount > 0; round += 1) {
        const tasks = this.#tasks;
        const count = this.#taskCount;
        this.#tasks = this.#running;
        this.#running = tasks;
        this.#taskCount = 0;
        for (let at = 0; at < count; at += 1) {
          const task = tasks[at]!;
          tasks[at] = null;
          task.runAtTurnEnd();
        }
      }
    } finally {
      this.#isRunning = false;
      if (this.#taskCount > 0) this.#wake();
    }
  }
}
