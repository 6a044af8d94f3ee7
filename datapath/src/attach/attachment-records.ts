// What pfnbd keeps on the node's disk, so that its next process goes on without asking anybody: one JSON file a volume. Version 1.
import { attachmentField } from '../api/bodies.ts';
import { flagField, nameField, recordOf, textField, wholeNumber } from '../api/fields.ts';
import { MAX_VOLUME_BYTES } from '../api/bodies.ts';
import { formatErrorChain } from '../base/errors.ts';
import type { World } from '../world/world.ts';
import type { AttachRequest } from './model.ts';

export interface AttachmentRecord extends AttachRequest {
  readonly version: 1;
  /** Which mapper made the device, or was about to. */
  readonly mapper: string;
  /** Bytes, as the device was made; 0 before that. */
  readonly size: number;
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

  /** Those that cannot be read are set aside, and said in the log. */
  async readAll(): Promise<AttachmentRecord[]> {
    const { files } = this.#world;
    const records: AttachmentRecord[] = [];
    for (const name of await files.list(this.#folder)) {
      if (!name.endsWith(SUFFIX)) continue;
      const bytes = await files.read(`${this.#folder}/${name}`);
      const record = bytes === null ? null : await this.#parse(name, bytes);
      if (record !== null) records.push(record);
    }
    return records;
  }

  /** Durable when it resolves. */
  async write(record: AttachmentRecord): Promise<void> {
    await this.#world.files.replace(this.#path(record.volume_name), encode(record));
  }

  async remove(volumeName: string): Promise<void> {
    await this.#world.files.remove(this.#path(volumeName));
  }

  async #parse(name: string, bytes: Uint8Array): Promise<AttachmentRecord | null> {
    try {
      const record = recordField.fromJson(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)), name);
      if (this.#path(record.volume_name) === `${this.#folder}/${name}`) return record;
      throw new Error(`it speaks of volume "${record.volume_name}"`);
    } catch (error) {
      const path = `${this.#folder}/${name}`;
      await this.#world.files.replace(`${path}.set-aside`, bytes);
      await this.#world.files.remove(path);
      this.#world.log.warn(`the record ${path} cannot be used: it is kept as ${path}.set-aside`, {
        error: formatErrorChain(error),
      });
      return null;
    }
  }

  #path(volumeName: string): string {
    return `${this.#folder}/${volumeName}${SUFFIX}`;
  }
}

function encode(record: AttachmentRecord): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(record, null, 2)}\n`);
}
