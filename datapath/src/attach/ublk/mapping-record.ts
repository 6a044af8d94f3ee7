// What the mapper remembers of a mapping. The kernel keeps a hash of the name with the device, so a lost or damaged record costs no
// device; it says who was at work when nothing is there yet.
import { isProcessIdentity, type ProcessIdentity } from '../../world/processes.ts';
import type { RecordKind } from '../mapping-records.ts';

export interface MappingRecord {
  readonly name: string;
  /** Where to look first; null until the kernel has chosen. */
  readonly deviceId: number | null;
  /** Who makes the device or serves it, or did; null when it has been handed over, or the record is damaged. */
  readonly owner: ProcessIdentity | null;
}

/** One that cannot be read says its name. */
export const MAPPING_RECORD: RecordKind<MappingRecord> = {
  suffix: '.ublk.json',
  version: 1,
  decode(fields, name) {
    const { deviceId, owner } = fields ?? {};
    const isId = deviceId === null || (Number.isSafeInteger(deviceId) && (deviceId as number) >= 0);
    if (!isId || (owner !== null && !isProcessIdentity(owner))) return { name, deviceId: null, owner: null };
    return { name, deviceId: deviceId as number | null, owner };
  },
};
