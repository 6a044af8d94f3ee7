// The further threads of nbd-serve --threads: each a worker with a world of its own (nbd-serve-thread.ts) that accepts from
// the first thread's socket and serves the same shared memory. Nothing else is shared, and no request crosses a thread.
import { Worker } from 'node:worker_threads';
import { PfError } from '../base/errors.ts';
import { createSharedContents, type SharedContents } from '../block/memory-device.ts';
import { memorySourceBytes } from '../cli/block-sources.ts';
import type { NbdServer } from '../nbd/index.ts';
import type { Address } from '../world/network.ts';

export interface ThreadOrder {
  readonly source: string;
  readonly exportName: string;
  readonly isReadOnly: boolean;
  readonly busyPollUs: number;
  readonly shared: SharedContents;
  readonly sharedListener: { readonly descriptor: number; readonly address: Address };
}

export interface ServingThreads {
  /** Before the first thread's server is closed: its socket is theirs too. */
  stop(): Promise<void>;
}

/** The bytes for all threads, none for one thread. Error INVALID_ARGUMENT for sources that threads cannot share. */
export function sharedContentsFor(source: string, threads: number): { readonly shared?: SharedContents } {
  if (threads === 1) return {};
  const sizeBytes = memorySourceBytes(source);
  if (sizeBytes === null) {
    throw new PfError(
      'INVALID_ARGUMENT',
      `flag --threads is ${threads}, but only a memory:SIZE source can be shared by threads, not "${source}"`,
    );
  }
  return { shared: createSharedContents(sizeBytes) };
}

export async function startThreads(
  count: number,
  server: NbdServer,
  order: Omit<ThreadOrder, 'shared' | 'sharedListener'> & { readonly shared?: SharedContents },
): Promise<ServingThreads> {
  const { shared } = order;
  if (shared === undefined || count === 0) return { stop: async () => {} };
  const descriptor = server.listenDescriptor;
  if (descriptor === null) {
    throw new PfError('UNSUPPORTED', '--threads needs io_uring, which cannot be used here; serve with one thread');
  }
  const workerData: ThreadOrder = { ...order, shared, sharedListener: { descriptor, address: server.address! } };
  const workers = Array.from(
    { length: count },
    () => new Worker(new URL('./nbd-serve-thread.ts', import.meta.url), { workerData }),
  );
  await Promise.all(workers.map((worker) => readiness(worker)));
  return { stop: async () => void (await Promise.all(workers.map(stopWorker))) };
}

function readiness(worker: Worker): Promise<void> {
  return new Promise((resolve, reject) => {
    worker.once('message', () => resolve());
    worker.once('error', reject);
  });
}

function stopWorker(worker: Worker): Promise<void> {
  return new Promise((resolve) => {
    worker.once('exit', () => resolve());
    worker.postMessage('stop');
  });
}
