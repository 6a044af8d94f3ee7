// What the mapper remembers of a mapping, beside the folder where its file system is mounted.
import { isProcessIdentity, type ProcessIdentity } from '../../world/processes.ts';
import type { RecordKind } from '../mapping-records.ts';

export interface MappingRecord {
  readonly name: string;
  /** Who keeps the connection; null until it has been started. */
  readonly holder: ProcessIdentity | null;
}

/** One that cannot be read names no holder: nothing of it can be saved. */
export const MAPPING_RECORD: RecordKind<MappingRecord> = {
  suffix: '.mapping.json',
  version: 1,
  decode(fields, name) {
    const holder = fields?.['holder'];
    return { name, holder: isHolder(holder) ? holder : null };
  },
};

/** Process 1 holds nothing, and must never get a signal from here. */
function isHolder(value: unknown): value is ProcessIdentity {
  return isProcessIdentity(value) && value.pid > 1;
}
