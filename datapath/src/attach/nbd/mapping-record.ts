// What the mapper remembers of a mapping. Whatever the kernel knows has a record, unless the folder was lost.
//
//   CONNECTING --the kernel has answered--> SERVING --handOver()--> HANDED_OVER --adopt()--> SERVING --unmap(), reap()--> no record
//        \--the kernel refused--> no record
import { PfError } from '../../base/errors.ts';
import { isProcessIdentity, type ProcessIdentity } from '../../world/processes.ts';
import type { Fields, RecordKind } from '../mapping-records.ts';

export interface MappingRecord {
  readonly name: string;
  readonly state: 'CONNECTING' | 'SERVING' | 'HANDED_OVER';
  /** Of the kernel's device; null while the kernel has not chosen it, or we do not know. */
  readonly index: number | null;
  /** How many sockets the device was connected with: the kernel keeps that number. */
  readonly connections: number;
  /** The process whose sockets the device has, or had. */
  readonly owner: ProcessIdentity;
}

/** Error CORRUPT for a file that is no record. */
export const MAPPING_RECORD: RecordKind<MappingRecord> = { suffix: '.json', version: 1, decode };

function decode(fields: Fields | null, name: string, path: string): MappingRecord {
  const { state, index, connections, owner } = (fields ?? {}) as Partial<MappingRecord>;
  const isState = state === 'CONNECTING' || state === 'SERVING' || state === 'HANDED_OVER';
  const isIndex = index === null || (Number.isSafeInteger(index) && index! >= 0);
  const isCount = Number.isSafeInteger(connections) && connections! >= 1 && connections! <= 16;
  if (!isState || !isIndex || !isCount || !isProcessIdentity(owner)) {
    throw new PfError(
      'CORRUPT',
      `cannot read ${path}: it is no record of a mapping; look for its device in /sys/block (nbd*/pid), unmount that, disconnect it with nbd-client -d, and remove the file`,
    );
  }
  const { pid, startTicks, bootId } = owner;
  return { name, state, index: index ?? null, connections: connections!, owner: { pid, startTicks, bootId } };
}
