// What pfnbd keeps on the node's disk, so that its next process goes on without asking anybody: one JSON file a volume. Version 1.
import { attachmentField } from '../api/bodies.ts';
import { flagField, nameField, recordOf, textField, wholeNumber } from '../api/fields.ts';
import { MAX_VOLUME_BYTES } from '../api/bodies.ts';
import { PfError, formatErrorChain } from '../base/errors.ts';
import type { World } from '../world/world.ts';
import type { DamagedRecord } from './damaged-records.ts';
import type { AttachRequest } from './model.ts';

export interface AttachmentRecord extends AttachRequest {
  readonly version: 1;
  /** Which mapper made the device, or was about to. */
  readonly mapper: string;
  /** Bytes, as the device was made; 0 before that. */
  readonly size: number;
}

/** What lay in the folder at the start. */
export interface FoundRecords {
  readonly whole: readonly AttachmentRecord[];
  readonly damaged: readonly DamagedRecord[];
}

const SUFFIX = '.attachment.json';

const recordField = recordOf<AttachmentRecord>({
  version: wholeNumber(1, 1) as never,
  volume_name: nameField,
  attachment: attachmentField,
  read_only: flagField,
  mapper: textField(16),
  size: wholeNumber(0, MAX_VOLUME_BYTES),
});

export class AttachmentRecords {
  readonly #world: World;
  readonly #folder: string;

  constructor(world: World, folder: string) {
    this.#world = world;
    this.#folder = folder;
  }

  /** Those that cannot be read are copied aside, and stay where they are until somebody has found out what they were about. */
  async readAll(): Promise<FoundRecords> {
    const { files, log } = this.#world;
    const whole: AttachmentRecord[] = [];
    const damaged: DamagedRecord[] = [];
    for (const name of await files.list(this.#folder)) {
      if (!name.endsWith(SUFFIX)) continue;
      const bytes = await files.read(`${this.#folder}/${name}`);
      if (bytes === null) continue;
      try {
        whole.push(this.#parse(name, bytes));
      } catch (error) {
        const setAside = `${this.#folder}/${name}.set-aside`;
        // A disk that takes no copy must not keep the other volumes down.
        await files.replace(setAside, bytes).catch((problem: unknown) => {
          log.warn('a damaged record cannot be copied aside', { file: name, error: formatErrorChain(problem) });
        });
        damaged.push({ volumeName: name.slice(0, -SUFFIX.length), setAside, reason: formatErrorChain(error) });
      }
    }
    return { whole, damaged };
  }

  /** Durable when it resolves. */
  async write(record: AttachmentRecord): Promise<void> {
    await this.#world.files.replace(this.#path(record.volume_name), encode(record));
  }

  async remove(volumeName: string): Promise<void> {
    await this.#world.files.remove(this.#path(volumeName));
  }

  #parse(name: string, bytes: Uint8Array): AttachmentRecord {
    const record = recordField.fromJson(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)), name);
    if (this.#path(record.volume_name) === `${this.#folder}/${name}`) return record;
    throw new PfError('CORRUPT', `it speaks of volume "${record.volume_name}"`);
  }

  #path(volumeName: string): string {
    return `${this.#folder}/${volumeName}${SUFFIX}`;
  }
}

function encode(record: AttachmentRecord): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(record, null, 2)}\n`);
}
