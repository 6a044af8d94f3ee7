// Waiting with an end: a promise, or a deadline of the world's clock, or the caller's signal, whichever comes first.
import type { Clock } from '../world/clock.ts';

export const TIMED_OUT = Symbol('timed out');

/** Rejects with the signal's reason when aborted. The promise itself goes on: only the waiting ends. */
export async function within<T>(
  clock: Clock,
  timeoutMs: number,
  promise: Promise<T>,
  signal?: AbortSignal,
): Promise<T | typeof TIMED_OUT> {
  signal?.throwIfAborted();
  const ending = Promise.withResolvers<typeof TIMED_OUT>();
  const onAbort = (): void => ending.reject(signal!.reason);
  const timer = clock.after(timeoutMs, () => ending.resolve(TIMED_OUT));
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, ending.promise]);
  } finally {
    timer.cancel();
    signal?.removeEventListener('abort', onAbort);
  }
}
