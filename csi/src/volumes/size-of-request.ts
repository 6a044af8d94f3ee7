// Which size a volume gets for the sizes that a caller can live with.
import { GiB, MiB, TiB, formatSize, PfError } from '@pureflash/datapath/base';
import type { CapacityRange } from '../messages/volume-messages.ts';

export const MIN_VOLUME_BYTES = MiB;
export const MAX_VOLUME_BYTES = 64 * TiB;
const DEFAULT_BYTES = GiB;
/** What filesystems and people like to see; the store itself allocates in smaller extents. */
const STEP_BYTES = MiB;

/** At least what is required, rounded up to whole MiB where the limit allows it. Errors: INVALID_ARGUMENT (no sense), OUT_OF_RANGE. */
export function sizeOfRequest(range: CapacityRange | null): number {
  const { requiredBytes, limitBytes } = checked(range);
  const wanted = requiredBytes > 0 ? requiredBytes : Math.min(DEFAULT_BYTES, limitBytes > 0 ? limitBytes : DEFAULT_BYTES);
  const rounded = Math.max(MIN_VOLUME_BYTES, Math.ceil(wanted / STEP_BYTES) * STEP_BYTES);
  if (limitBytes > 0 && rounded > limitBytes) {
    throw new PfError(
      'OUT_OF_RANGE',
      `no size fits: at least ${requiredBytes} and at most ${limitBytes} bytes are wanted, and sizes are whole MiB from 1 MiB on; raise the limit to ${rounded}`,
    );
  }
  if (rounded > MAX_VOLUME_BYTES)
    throw new PfError('OUT_OF_RANGE', `${requiredBytes} bytes are wanted; a volume has at most ${formatSize(MAX_VOLUME_BYTES)}`);
  return rounded;
}

/** A volume of this size does for the range. */
export function isWithin(range: CapacityRange | null, sizeBytes: number): boolean {
  const { requiredBytes, limitBytes } = checked(range);
  return sizeBytes >= requiredBytes && (limitBytes === 0 || sizeBytes <= limitBytes);
}

function checked(range: CapacityRange | null): CapacityRange {
  const { requiredBytes, limitBytes } = range ?? { requiredBytes: 0, limitBytes: 0 };
  if (requiredBytes < 0 || limitBytes < 0)
    throw new PfError('INVALID_ARGUMENT', `capacity_range has negative bytes: required ${requiredBytes}, limit ${limitBytes}`);
  if (limitBytes > 0 && limitBytes < requiredBytes)
    throw new PfError('INVALID_ARGUMENT', `capacity_range wants at least ${requiredBytes} and at most ${limitBytes} bytes`);
  return { requiredBytes, limitBytes };
}
