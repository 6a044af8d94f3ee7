// A record of an attachment that cannot be read: what it said is found out from the name of the kernel device, which carries the attachment
// and the volume. Called by AttachService before anything is taken for an orphan.
import type { Mapper } from './mapper.ts';

export interface DamagedRecord {
  /** By the file's name. */
  readonly volumeName: string;
  /** Where a copy of it lies. */
  readonly setAside: string;
  readonly reason: string;
}

export interface FoundMapping {
  readonly mapper: Mapper;
  readonly attachment: number;
}

/** What a mapping of this pfnbd is called. */
export function mappingName(prefix: string, attachment: number, volumeName: string): string {
  return `${prefix}${attachment}-${volumeName}`;
}

/** The volume's latest mapping, or null: an earlier one is an orphan. */
export async function findMapping(mappers: readonly Mapper[], prefix: string, volumeName: string): Promise<FoundMapping | null> {
  let found: FoundMapping | null = null;
  for (const mapper of mappers) {
    for (const name of await mapper.names(prefix)) {
      const attachment = Number(/^\d{1,16}(?=-)/.exec(name.slice(prefix.length))?.[0]);
      if (!Number.isSafeInteger(attachment) || name !== mappingName(prefix, attachment, volumeName)) continue;
      if (found === null || attachment > found.attachment) found = { mapper, attachment };
    }
  }
  return found;
}
