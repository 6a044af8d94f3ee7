// What the mapper remembers of each mapping on the node's disk: one JSON file a mapping, named after it, beside the folder where its file
// system is mounted. Written before the kernel is told anything, removed after everything is gone. Version 1.
import type { ProcessIdentity } from '../../world/processes.ts';
import type { World } from '../../world/world.ts';

const VERSION = 1;
const SUFFIX = '.mapping.json';
const NAME = /^[A-Za-z0-9._-]{1,200}$/;

export interface MappingRecord {
  readonly version: typeof VERSION;
  readonly name: string;
  /** Who keeps the connection; null until it has been started. */
  readonly holder: ProcessIdentity | null;
}

export class MappingRecords {
  readonly #world: Pick<World, 'files'>;
  readonly #folder: string;

  constructor(world: Pick<World, 'files'>, folder: string) {
    this.#world = world;
    this.#folder = folder;
  }

  /** Null when there is no mapping of that name. One that cannot be read names no holder: nothing of it can be saved. */
  async read(name: string): Promise<MappingRecord | null> {
    const bytes = await this.#world.files.read(this.#path(name));
    if (bytes === null) return null;
    return parseMappingRecord(bytes, name) ?? { version: VERSION, name, holder: null };
  }

  async write(name: string, holder: ProcessIdentity | null): Promise<void> {
    const record: MappingRecord = { version: VERSION, name, holder };
    await this.#world.files.replace(this.#path(name), new TextEncoder().encode(`${JSON.stringify(record)}\n`));
  }

  async remove(name: string): Promise<void> {
    await this.#world.files.remove(this.#path(name));
  }

  async names(): Promise<string[]> {
    const files = await this.#world.files.list(this.#folder);
    return files.filter((file) => file.endsWith(SUFFIX)).map((file) => file.slice(0, -SUFFIX.length));
  }

  #path(name: string): string {
    return `${this.#folder}/${name}${SUFFIX}`;
  }
}

export function isMappingName(name: string): boolean {
  return NAME.test(name) && name !== '.' && name !== '..';
}

export function parseMappingRecord(bytes: Uint8Array, name: string): MappingRecord | null {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return null; // Torn or damaged: as good as none.
  }
  if (typeof value !== 'object' || value === null) return null;
  const record = value as Partial<MappingRecord>;
  if (record.version !== VERSION || record.name !== name) return null;
  return record.holder === null || isIdentity(record.holder) ? (record as MappingRecord) : null;
}

function isIdentity(value: unknown): boolean {
  const { pid, startTicks, bootId } = (value ?? {}) as Partial<ProcessIdentity>;
  return Number.isSafeInteger(pid) && pid! > 1 && Number.isSafeInteger(startTicks) && typeof bootId === 'string';
}
