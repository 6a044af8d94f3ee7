// The flag of every daemon with a data path: how long its thread polls for the next completion before it sleeps.

/** As long as the kernel's haltpoll governor polls by default, for the same reason. */
export const BUSY_POLL_US = 200;

export const BUSY_POLL_FLAG = {
  kind: 'integer',
  help: 'microseconds to poll before sleeping while requests come one by one; 0: never',
  minimum: 0,
  maximum: 10_000,
  default: BUSY_POLL_US,
} as const;
