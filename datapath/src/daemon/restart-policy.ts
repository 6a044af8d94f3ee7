// Whether and when a process that has ended by itself is started again. Pure; asked by service-core.ts.
// Ends in quick succession are counted; a process that had run for `stableAfterMs` starts the count anew. Each further end doubles
// the delay; more than `crashLimit` of them are a crash loop, which ends only when somebody asks for a start or changes the config.
import type { ExitStatus } from '../world/processes.ts';

export interface RestartPolicy {
  readonly mode: 'always' | 'on-failure' | 'never';
  readonly firstDelayMs: number;
  readonly maxDelayMs: number;
  readonly stableAfterMs: number;
  readonly crashLimit: number;
}

export const DEFAULT_RESTART_POLICY: RestartPolicy = {
  mode: 'always',
  firstDelayMs: 200,
  maxDelayMs: 30_000,
  stableAfterMs: 60_000,
  crashLimit: 10,
};

export type Verdict =
  | { readonly kind: 'restart'; readonly delayMs: number; readonly crashes: number }
  | { readonly kind: 'stay-ended' }
  | { readonly kind: 'crash-loop'; readonly crashes: number };

/** `crashes`: the count so far. `ranMs`: how long the process ran; 0 when it could not be started. */
export function judgeExit(policy: RestartPolicy, crashes: number, status: ExitStatus, ranMs: number): Verdict {
  if (policy.mode === 'never') return { kind: 'stay-ended' };
  if (policy.mode === 'on-failure' && status.code === 0) return { kind: 'stay-ended' };
  const count = ranMs >= policy.stableAfterMs ? 1 : crashes + 1;
  if (count > policy.crashLimit) return { kind: 'crash-loop', crashes: count };
  const delayMs = Math.min(policy.maxDelayMs, policy.firstDelayMs * 2 ** (count - 1));
  return { kind: 'restart', delayMs, crashes: count };
}
