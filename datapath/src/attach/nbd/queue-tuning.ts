// How the kernel queues requests of a mapped device. None of it is needed for correctness: an attribute that this kernel does not have, or
// a value that it refuses, is left as it is.
import { formatErrorChain } from '../../base/errors.ts';
import type { Kernel } from '../../world/kernel.ts';
import type { Logger } from '../../world/log.ts';

export type QueueAttribute = readonly [attribute: string, value: string];

/**
 * For a new device, before anybody uses it: some of these wait until no request is in flight. Ordering requests is the store's business; a
 * request fits into one slot of I/O memory.
 */
export const QUEUE_ATTRIBUTES: readonly QueueAttribute[] = [
  ['scheduler', 'none'],
  ['max_sectors_kb', '1024'],
  ['read_ahead_kb', '1024'],
  ['nr_requests', '128'],
];

/** `path` names an attribute's file. */
export async function tuneQueue(
  kernel: Kernel,
  log: Logger,
  path: (attribute: string) => string,
  attributes: readonly QueueAttribute[],
): Promise<void> {
  for (const [attribute, value] of attributes) {
    try {
      await kernel.writeAttribute(path(`queue/${attribute}`), value);
    } catch (error) {
      log.debug('an attribute of the queue stays as it is', { attribute, value, error: formatErrorChain(error) });
    }
  }
}
