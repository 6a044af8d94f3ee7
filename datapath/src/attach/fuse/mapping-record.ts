// What the mapper remembers of a mapping, beside the folder where its file system is mounted.
import { isProcessIdentity, type ProcessIdentity } from '../../world/processes.ts';
import type { RecordKind } from '../mapping-records.ts';

const VERSION = 1;

export interface MappingRecord {
  readonly name: string;
  /** Who keeps the connection; null until it has been started. */
  readonly holder: ProcessIdentity | null;
}

/** One that cannot be read names no holder: nothing of it can be saved. */
export const MAPPING_RECORD: RecordKind<MappingRecord> = {
  suffix: '.mapping.json',
  version: VERSION,
  decode: (bytes, name) => parseMappingRecord(bytes, name) ?? { name, holder: null },
};

export function parseMappingRecord(bytes: Uint8Array, name: string): MappingRecord | null {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return null; // Torn or damaged: as good as none.
  }
  if (typeof value !== 'object' || value === null) return null;
  const { version, name: own, holder } = value as Partial<MappingRecord> & { version?: unknown };
  if (version !== VERSION || own !== name || !isHolder(holder)) return null;
  return { name, holder };
}

/** Process 1 holds nothing, and must never get a signal from here. */
function isHolder(value: unknown): value is ProcessIdentity | null {
  return value === null || (isProcessIdentity(value) && value.pid > 1);
}
