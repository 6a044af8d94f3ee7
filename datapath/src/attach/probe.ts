// One real read before a kernel gets the device: a backend that hangs shall hang this call, which has an end, and not mkfs or mount.
import { PfError } from '../base/errors.ts';
import { BLOCK_BYTES } from '../base/sizes.ts';
import { BlockRequest, READ, type BlockDevice } from '../block/device.ts';
import { TIMED_OUT, within } from '../daemon/deadline.ts';
import type { World } from '../world/world.ts';

export interface ProbeOptions {
  readonly what: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Error UNAVAILABLE when the first block cannot be read within that time; the signal's reason. */
export async function probe(world: World, device: BlockDevice, { what, timeoutMs, signal }: ProbeOptions): Promise<void> {
  const memory = world.memory.reserve(BLOCK_BYTES);
  const answered = Promise.withResolvers<number>();
  const request = new BlockRequest({
    requestDone: ({ result }) => {
      // A late answer still writes to this memory: it is given back only then.
      world.memory.release(memory, BLOCK_BYTES);
      answered.resolve(result);
    },
  });
  request.operation = READ;
  request.length = BLOCK_BYTES;
  request.memory = memory;
  device.submit(request);
  const result = await within(world.clock, timeoutMs, answered.promise, signal);
  if (result === 0) return;
  const outcome = result === TIMED_OUT ? `did not answer within ${timeoutMs} ms` : `failed with errno ${result}`;
  throw new PfError(
    'UNAVAILABLE',
    `cannot use ${what} yet: reading its first block ${outcome}; check its stores with list_store`,
  );
}
