// For the cold paths (open, checkpoint, format): many disk operations, one promise.
import { PfError } from '../../base/errors.ts';
import type { Completion } from '../../world/completion.ts';

const ENOSPC = 28;

/** What an operation's errno means for whoever looks after the disk. */
export function reasonOf(errno: number): string {
  return errno === ENOSPC ? 'the file system that holds it is full; free some of its space' : `errno ${errno}; check the device`;
}

export class Gather implements Completion {
  #pending = 0;
  #errno = 0;
  #waiter: (() => void) | null = null;

  /** Counts one more operation; hand the gather to it as its completion. */
  add(): Completion {
    this.#pending += 1;
    return this;
  }

  get pending(): number {
    return this.#pending;
  }

  complete(result: number): void {
    this.#pending -= 1;
    if (result !== 0) this.#errno = result;
    if (this.#pending > 0 || this.#waiter === null) return;
    const waiter = this.#waiter;
    this.#waiter = null;
    waiter();
  }

  /** Rejects with IO_ERROR if any of them failed. */
  async all(action: string, path: string): Promise<void> {
    if (this.#pending > 0) await new Promise<void>((resolve) => (this.#waiter = resolve));
    if (this.#errno !== 0) throw new PfError('IO_ERROR', `cannot ${action} on disk "${path}": ${reasonOf(this.#errno)}`);
  }
}
