// What the node service must not forget over its own death, one small file a volume: the mkfs that has begun, and how the volume was asked
// for. Everything else is read from the kernel and from pfnbd. Losing a file costs no data: a half-made filesystem must then be wiped by
// hand, and a read-only target that was half made must be unpublished first.
import { PfError, type JsonObject } from '@pureflash/datapath/base';
import type { Files, Logger } from '@pureflash/datapath/world';
import { FS_TYPES } from '../calls/capability.ts';
import type { FsType } from './host.ts';
import { isVolumeId } from '../volumes/names.ts';

export interface Staged {
  readonly path: string;
  readonly isBlock: boolean;
  readonly options: readonly string[];
  readonly isReadOnly: boolean;
}

export interface VolumeRecord {
  /** To which attachment all of this belongs: with another one it says nothing any more. */
  readonly attachment: number;
  readonly formatting: FsType | null;
  readonly staged: Staged | null;
  /** Targets that are, or are about to be, mounted read-only. */
  readonly readOnlyTargets: readonly string[];
}

const VERSION = 1;
const RECORD_BYTES_MAX = 256 * 1024;
const ENCODER = new TextEncoder();
const DECODER = new TextDecoder();

export class VolumeRecords {
  readonly #files: Pick<Files, 'readStart' | 'replace' | 'remove' | 'makeFolder'>;
  readonly #folder: string;
  readonly #log: Logger;

  /** `folder` is this plugin's own, on the node's disk. */
  constructor(files: Pick<Files, 'readStart' | 'replace' | 'remove' | 'makeFolder'>, folder: string, log: Logger) {
    this.#files = files;
    this.#folder = folder;
    this.#log = log;
  }

  async open(): Promise<void> {
    await this.#files.makeFolder(this.#folder, { isPrivate: true });
  }

  /** Null when there is none for this volume, or none that can be read. */
  async load(volumeId: string): Promise<VolumeRecord | null> {
    const bytes = await this.#files.readStart(this.#path(volumeId), RECORD_BYTES_MAX);
    if (bytes === null) return null;
    const record = parseRecord(DECODER.decode(bytes));
    if (record === null) this.#log.warn('the record of a volume cannot be read and is passed over', { volume: volumeId });
    return record;
  }

  async save(volumeId: string, record: VolumeRecord): Promise<void> {
    const text = JSON.stringify({ version: VERSION, ...record });
    await this.#files.replace(this.#path(volumeId), ENCODER.encode(`${text}\n`));
  }

  async remove(volumeId: string): Promise<void> {
    await this.#files.remove(this.#path(volumeId));
  }

  #path(volumeId: string): string {
    return `${this.#folder}/volume-${checkVolumeId(volumeId)}.json`;
  }
}

/** Error INVALID_ARGUMENT. A volume's id is its name at the conductor. */
export function checkVolumeId(volumeId: string): string {
  if (isVolumeId(volumeId)) return volumeId;
  const shown = JSON.stringify(volumeId.slice(0, 100));
  throw new PfError('INVALID_ARGUMENT', `volume_id ${shown} cannot be one: 1 to 96 characters of A-Z a-z 0-9 . _ - wanted`);
}

export function emptyRecord(attachment: number): VolumeRecord {
  return { attachment, formatting: null, staged: null, readOnlyTargets: [] };
}

export function parseRecord(text: string): VolumeRecord | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isObject(value) || value['version'] !== VERSION) return null;
  const { attachment, formatting, staged, readOnlyTargets } = value;
  const fsType = FS_TYPES.find((known) => known === formatting) ?? null;
  if (typeof attachment !== 'number' || !Number.isSafeInteger(attachment) || fsType !== formatting) return null;
  if (!isTextList(readOnlyTargets)) return null;
  if (staged === null) return { attachment, formatting: fsType, staged: null, readOnlyTargets };
  if (!isObject(staged)) return null;
  const { path, isBlock, options, isReadOnly } = staged;
  if (typeof path !== 'string' || typeof isBlock !== 'boolean' || typeof isReadOnly !== 'boolean' || !isTextList(options))
    return null;
  return { attachment, formatting: fsType, staged: { path, isBlock, options, isReadOnly }, readOnlyTargets };
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isTextList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}
