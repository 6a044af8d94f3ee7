// What a mapper remembers of its mappings on the node's disk: a folder of small JSON files, one a mapping and named after it.
// Each is written before the kernel is told anything, and removed after everything is gone.
import type { Files } from '../world/files.ts';

export interface RecordKind<Kept extends { readonly name: string }> {
  /** How the files' names end. Never changes. */
  readonly suffix: string;
  readonly version: number;
  /** Of what fieldsOf() says of the file of that name. May throw where a damaged one cannot be done without. */
  readonly decode: (fields: Fields | null, name: string, path: string) => Kept;
}

/** As they are in the file: of any type. */
export type Fields = Readonly<Record<string, unknown>>;

export class MappingRecords<Kept extends { readonly name: string }> {
  readonly #files: Files;
  readonly #folder: string;
  readonly #kind: RecordKind<Kept>;

  constructor(files: Files, folder: string, kind: RecordKind<Kept>) {
    this.#files = files;
    this.#folder = folder;
    this.#kind = kind;
  }

  /** Null when there is none. */
  async read(name: string): Promise<Kept | null> {
    const path = this.#path(name);
    const bytes = await this.#files.read(path);
    return bytes === null ? null : this.#kind.decode(fieldsOf(bytes, name, this.#kind.version), name, path);
  }

  /** Durable when it resolves. */
  async write(record: Kept): Promise<void> {
    await this.#files.makeFolder(this.#folder, { isPrivate: true });
    const text = JSON.stringify({ version: this.#kind.version, ...record }, null, 2);
    await this.#files.replace(this.#path(record.name), new TextEncoder().encode(`${text}\n`));
  }

  async remove(name: string): Promise<void> {
    await this.#files.remove(this.#path(name));
  }

  async names(): Promise<readonly string[]> {
    const { suffix } = this.#kind;
    const files = await this.#files.list(this.#folder);
    return files.filter((file) => file.endsWith(suffix)).map((file) => file.slice(0, -suffix.length));
  }

  #path(name: string): string {
    return `${this.#folder}/${name}${this.#kind.suffix}`;
  }
}

/** Null for a file that is torn, of another version, or of another mapping. */
export function fieldsOf(bytes: Uint8Array, name: string, version: number): Fields | null {
  try {
    const fields = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as Fields | null;
    return fields?.['version'] === version && fields['name'] === name ? fields : null;
  } catch {
    return null;
  }
}

const NAME = /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,200}$/;

/** Whether a mapping may be called so: its record's file is. */
export function isMappingName(name: string): boolean {
  return NAME.test(name);
}
