// What a kernel device is served with when its attachment is over: every request fails, so that whoever waits for it can let go.
import type { BlockExtent, BlockRequest } from '../block/device.ts';
import type { PfError } from '../base/errors.ts';
import { BLOCK_BYTES, SECTOR_BYTES } from '../base/sizes.ts';
import { EIO } from '../world/completion.ts';
import { MAX_SLOT_BYTES } from '../world/memory.ts';
import type { OpenedVolume } from './attached-volume.ts';

export class FailedDevice implements OpenedVolume {
  readonly failure: PfError;
  readonly attachEpoch = 0;
  readonly sizeBytes: number;
  readonly isReadOnly: boolean;
  readonly minimumIoBytes = SECTOR_BYTES;
  readonly preferredIoBytes = BLOCK_BYTES;
  readonly maximumIoBytes = MAX_SLOT_BYTES;
  readonly canTrim = true;
  readonly canZeroFast = true;
  readonly canMultiConnect = true;

  constructor(failure: PfError, sizeBytes: number, isReadOnly: boolean) {
    this.failure = failure;
    this.sizeBytes = sizeBytes;
    this.isReadOnly = isReadOnly;
  }

  submit(request: BlockRequest): void {
    request.finish(EIO);
  }

  extents(): Promise<readonly BlockExtent[]> {
    return Promise.reject(this.failure);
  }

  refresh(): Promise<number> {
    return Promise.reject(this.failure);
  }

  /** It has a reason already. */
  fail(): void {}

  async close(): Promise<void> {}
}
