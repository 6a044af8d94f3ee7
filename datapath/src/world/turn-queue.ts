// What runs at the end of a turn of the loop. The loop's owner (libuv side, ring, simulator) calls run() after the turn's
// events; `wake` asks it to do so and is called when the first task of a turn is registered.
import type { Turn, TurnTask } from './clock.ts';

/** Tasks may register tasks; after this many rounds the loop gets its turn before the rest. */
const MAX_ROUNDS = 16;

export class TurnQueue implements Turn {
  readonly #wake: () => void;
  #tasks: TurnTask[] = [];
  #running: TurnTask[] = [];
  #isRunning = false;

  constructor(wake: () => void) {
    this.#wake = wake;
  }

  get isEmpty(): boolean {
    return this.#tasks.length === 0;
  }

  atEnd(task: TurnTask): void {
    if (this.#tasks.push(task) === 1 && !this.#isRunning) this.#wake();
  }

  run(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    try {
      for (let round = 0; round < MAX_ROUNDS && this.#tasks.length > 0; round += 1) {
        const tasks = this.#tasks;
        this.#tasks = this.#running;
        this.#running = tasks;
        for (let at = 0; at < tasks.length; at += 1) tasks[at]!.runAtTurnEnd();
        tasks.length = 0;
      }
    } finally {
      this.#running.length = 0;
      this.#isRunning = false;
      if (this.#tasks.length > 0) this.#wake();
    }
  }
}
