// What a kernel device is served with when its attachment is over: every request fails, so that whoever waits for it can let go.
import type { BlockDevice, BlockExtent, BlockRequest } from '../block/device.ts';
import { PfError } from '../base/errors.ts';
import { BLOCK_BYTES, SECTOR_BYTES } from '../base/sizes.ts';
import { EIO } from '../world/completion.ts';
import { MAX_SLOT_BYTES } from '../world/memory.ts';

export class FailedDevice implements BlockDevice {
  readonly sizeBytes: number;
  readonly isReadOnly: boolean;
  readonly minimumIoBytes = SECTOR_BYTES;
  readonly preferredIoBytes = BLOCK_BYTES;
  readonly maximumIoBytes = MAX_SLOT_BYTES;
  readonly canTrim = true;
  readonly canZeroFast = true;
  readonly canMultiConnect = true;

  constructor(sizeBytes: number, isReadOnly: boolean) {
    this.sizeBytes = sizeBytes;
    this.isReadOnly = isReadOnly;
  }

  submit(request: BlockRequest): void {
    request.finish(EIO);
  }

  extents(): Promise<readonly BlockExtent[]> {
    return Promise.reject(new PfError('IO_ERROR', 'the attachment is over'));
  }

  async close(): Promise<void> {}
}
