// What the mapper remembers of a mapping on the node's disk, one file each, in a folder of its own. Written before the kernel is told, so
// that whatever the kernel knows has a record, unless the folder was lost.
//
//   CONNECTING --the kernel has answered--> SERVING --handOver()--> HANDED_OVER --adopt()--> SERVING --unmap(), reap()--> no record
//        \--the kernel refused--> no record
import { PfError } from '../../base/errors.ts';
import type { Files } from '../../world/files.ts';
import type { ProcessIdentity } from '../../world/processes.ts';

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

const SUFFIX = '.json';
const VERSION = 1;

export class MappingRecords {
  readonly #files: Files;
  readonly #folder: string;

  constructor(files: Files, folder: string) {
    this.#files = files;
    this.#folder = folder;
  }

  async write(record: MappingRecord): Promise<void> {
    await this.#files.makeFolder(this.#folder, { isPrivate: true });
    const text = JSON.stringify({ version: VERSION, ...record }, null, 2);
    await this.#files.replace(this.#path(record.name), new TextEncoder().encode(`${text}\n`));
  }

  /** Error CORRUPT for a file that is no record. */
  async read(name: string): Promise<MappingRecord | null> {
    const bytes = await this.#files.read(this.#path(name));
    return bytes === null ? null : decode(bytes, name, this.#path(name));
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

function decode(bytes: Uint8Array, fileName: string, path: string): MappingRecord {
  const wrong = (cause?: unknown): PfError =>
    new PfError(
      'CORRUPT',
      `cannot read ${path}: it is no record of a mapping; look for its device in /sys/block (nbd*/pid), unmount that, disconnect it with nbd-client -d, and remove the file`,
      { cause },
    );
  let value: (Partial<MappingRecord> & { version?: unknown }) | null;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes)) as typeof value;
  } catch (error) {
    throw wrong(error);
  }
  const { version, name, state, index, connections, owner } = value ?? ({} as Partial<MappingRecord> & { version?: unknown });
  const isState = state === 'CONNECTING' || state === 'SERVING' || state === 'HANDED_OVER';
  const isIndex = index === null || (Number.isSafeInteger(index) && index! >= 0);
  const isCount = Number.isSafeInteger(connections) && connections! >= 1 && connections! <= 16;
  const isOwner = typeof owner?.pid === 'number' && typeof owner.startTicks === 'number' && typeof owner.bootId === 'string';
  if (version !== VERSION || name !== fileName || !isState || !isIndex || !isCount || !isOwner) throw wrong();
  const { pid, startTicks, bootId } = owner;
  return { name, state, index: index ?? null, connections: connections!, owner: { pid, startTicks, bootId } };
}
