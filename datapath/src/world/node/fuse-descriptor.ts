// What both channels of /dev/fuse share: their descriptor.
import { close } from 'node:fs';
import type { FuseChannel } from '../fuse.ts';

export interface OwnedFuseChannel extends FuseChannel {
  readonly fd: number;
}

/** On the thread pool: closing the last descriptor of a connection ends all its requests. */
export function closeDescriptor(fd: number): Promise<void> {
  return new Promise((resolve) => close(fd, () => resolve()));
}
