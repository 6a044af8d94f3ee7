// What the mapper remembers of each mapping on the node's disk: one JSON file a mapping, named after it. Written before the kernel is told
// anything, removed after everything is gone. The kernel keeps a hash of the name with the device, so a lost or damaged record costs no
// device; it says who was at work when nothing is there yet. Version 1.
import type { ProcessIdentity } from '../../world/processes.ts';
import type { Files } from '../../world/files.ts';

const VERSION = 1;
const SUFFIX = '.ublk.json';
const NAME = /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,200}$/;

export interface MappingRecord {
  readonly name: string;
  /** Where to look first; null until the kernel has chosen. */
  readonly deviceId: number | null;
  /** Who makes the device or serves it, or did; null when it has been handed over, or the record is damaged. */
  readonly owner: ProcessIdentity | null;
}

export class MappingRecords {
  readonly #files: Files;
  readonly #folder: string;

  constructor(files: Files, folder: string) {
    this.#files = files;
    this.#folder = folder;
  }

  /** Null when there is none. One that cannot be read says its name. */
  async read(name: string): Promise<MappingRecord | null> {
    const bytes = await this.#files.read(this.#path(name));
    return bytes === null ? null : (parseMappingRecord(bytes, name) ?? { name, deviceId: null, owner: null });
  }

  async write(record: MappingRecord): Promise<void> {
    await this.#files.makeFolder(this.#folder, { isPrivate: true });
    const text = JSON.stringify({ version: VERSION, ...record });
    await this.#files.replace(this.#path(record.name), new TextEncoder().encode(`${text}\n`));
  }

  async remove(name: string): Promise<void> {
    await this.#files.remove(this.#path(name));
  }

  async names(): Promise<readonly string[]> {
    const files = await this.#files.list(this.#folder);
    return files.filter((file) => file.endsWith(SUFFIX)).map((file) => file.slice(0, -SUFFIX.length));
  }

  #path(name: string): string {
    return `${this.#folder}/${name}${SUFFIX}`;
  }
}

export function isMappingName(name: string): boolean {
  return NAME.test(name);
}

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
  if (version !== VERSION || own !== name || !isId || (owner !== null && !isIdentity(owner))) return null;
  return { name, deviceId: deviceId ?? null, owner: owner ?? null };
}

function isIdentity(value: unknown): boolean {
  const { pid, startTicks, bootId } = (value ?? {}) as Partial<ProcessIdentity>;
  return Number.isSafeInteger(pid) && pid! > 0 && Number.isSafeInteger(startTicks) && typeof bootId === 'string';
}
