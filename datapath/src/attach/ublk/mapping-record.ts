// What the mapper remembers of a mapping. The kernel keeps a hash of the name with the device, so a lost or damaged record costs no
// device; it says who was at work when nothing is there yet.
import { isProcessIdentity, type ProcessIdentity } from '../../world/processes.ts';
import type { RecordKind } from '../mapping-records.ts';

const VERSION = 1;

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
  version: VERSION,
  decode: (bytes, name) => parseMappingRecord(bytes, name) ?? { name, deviceId: null, owner: null },
};

export function parseMappingRecord(bytes: Uint8Array, name: string): MappingRecord | null {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return null; // Torn or damaged: as good as none.
  }
  if (typeof value !== 'object' || value === null) return null;
  const { version, name: own, deviceId, owner } = value as Partial<MappingRecord> & { version?: unknown };
  const isId = deviceId === null || (Number.isSafeInteger(deviceId) && deviceId! >= 0);
  if (version !== VERSION || own !== name || !isId || (owner !== null && !isProcessIdentity(owner))) return null;
  return { name, deviceId: deviceId ?? null, owner: owner ?? null };
}
