// Time. Monotonic milliseconds for everything that decides; wall time only to be shown to people.

export interface Timer {
  /** Idempotent; the callback is not called afterwards. */
  cancel(): void;
}

export interface Clock {
  /** Monotonic milliseconds, with fractions. Cheap enough for every request. */
  now(): number;
  /** Milliseconds since 1970, for display and for stamps in records. */
  wallTimeMs(): number;
  after(delayMs: number, callback: () => void): Timer;
  every(periodMs: number, callback: () => void): Timer;
  /** Rejects with the signal's reason when aborted. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

/** Work to be done once at the end of the current turn of the loop, before it sleeps: group commits, flushes of batches. */
export interface TurnTask {
  runAtTurnEnd(): void;
}

export interface Turn {
  /** Runs after all events of this turn, in order of registration; a task registered twice in a turn runs twice: callers keep a flag. */
  atEnd(task: TurnTask): void;
}
