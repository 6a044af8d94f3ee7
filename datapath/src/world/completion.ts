// How every hot-path port answers: a preallocated object is called back, with no promise and no closure.
// `result` is 0, or a positive Linux errno (EIO 5, ENOSPC 28, ECANCELED 125, ...).

export interface Completion {
  complete(result: number): void;
}

export const EPERM = 1;
export const EIO = 5;
export const ENOMEM = 12;
export const EBUSY = 16;
export const EINVAL = 22;
export const ENOSPC = 28;
export const EROFS = 30;
export const ETIMEDOUT = 110;
export const ECONNRESET = 104;
export const ECANCELED = 125;

/** For cold paths: turns one completion into a promise of its errno. */
export class CompletionPromise implements Completion {
  readonly done: Promise<number>;
  #resolve!: (result: number) => void;

  constructor() {
    this.done = new Promise((resolve) => (this.#resolve = resolve));
  }

  complete(result: number): void {
    this.#resolve(result);
  }
}
