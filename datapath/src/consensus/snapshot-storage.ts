// Snapshots of a state machine: `snapshot-<index>.pfs`, each replaced atomically and checksummed. The previous one is kept, with
// the log from it on, so that one rotten snapshot costs nothing. Little endian. Version 1:
//   0 u32 magic "PFS1"   4 u32 length   8 u32 index low   12 u32 index high   16 u32 crc32c of bytes 0..16 and the content   20 content
import { crc32c } from '../base/crc32c.ts';
import { PfError } from '../base/errors.ts';
import type { World } from '../world/world.ts';

const MAGIC = 0x31534650;
const HEADER_BYTES = 20;

export interface Snapshot {
  /** The last command it contains. */
  readonly index: number;
  readonly content: Uint8Array;
}

export class SnapshotStorage {
  readonly #world: Pick<World, 'files' | 'log'>;
  readonly #folder: string;
  /** Of the files that exist, ascending. */
  readonly #indices: number[];

  private constructor(world: Pick<World, 'files' | 'log'>, folder: string, indices: number[]) {
    this.#world = world;
    this.#folder = folder;
    this.#indices = indices;
  }

  static async open(world: Pick<World, 'files' | 'log'>, folder: string): Promise<SnapshotStorage> {
    const names = (await world.files.list(folder)).filter((name) => /^snapshot-\d{16}\.pfs$/.test(name));
    return new SnapshotStorage(
      world,
      folder,
      names.sort().map((name) => Number(name.slice(9, 25))),
    );
  }

  get count(): number {
    return this.#indices.length;
  }

  /** The log above this index must be kept: from the previous snapshot on, or all of it while there is no previous one. */
  get logNeededAbove(): number {
    return this.#indices.length < 2 ? 0 : this.#indices[0]!;
  }

  /**
   * The newest good snapshot; bad ones that are newer are removed. Null when there is none: then the whole log must be there.
   * Error CORRUPT when a part of the log depends on snapshots, and none of them is good.
   */
  async load(): Promise<Snapshot | null> {
    const bad: number[] = [];
    for (const index of this.#indices.toReversed()) {
      const content = decode((await this.#world.files.read(this.#pathOf(index))) ?? new Uint8Array(0), index);
      if (content !== null) {
        await this.#remove(bad);
        return { index, content };
      }
      this.#world.log.error(`snapshot "${this.#pathOf(index)}" fails its checksum; going back to the one before`);
      bad.push(index);
    }
    if (this.#indices.length < 2) return null;
    throw new PfError(
      'CORRUPT',
      `no snapshot in "${this.#folder}" is readable (${bad.length} tried): restore the folder from a copy`,
    );
  }

  /** Durable when it resolves. Older ones than the previous snapshot are removed. */
  async save(index: number, content: Uint8Array): Promise<void> {
    await this.#world.files.replace(this.#pathOf(index), encode(index, content));
    if (!this.#indices.includes(index)) this.#indices.push(index);
    if (this.#indices.length > 2) await this.#remove(this.#indices.slice(0, -2));
  }

  async #remove(indices: readonly number[]): Promise<void> {
    for (const index of indices) {
      await this.#world.files.remove(this.#pathOf(index));
      this.#indices.splice(this.#indices.indexOf(index), 1);
    }
  }

  #pathOf(index: number): string {
    return `${this.#folder}/snapshot-${String(index).padStart(16, '0')}.pfs`;
  }
}

function encode(index: number, content: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + content.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, content.length, true);
  view.setUint32(8, index % 2 ** 32, true);
  view.setUint32(12, Math.floor(index / 2 ** 32), true);
  bytes.set(content, HEADER_BYTES);
  view.setUint32(16, checksum(bytes), true);
  return bytes;
}

function decode(bytes: Uint8Array, index: number): Uint8Array | null {
  if (bytes.length < HEADER_BYTES) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const isGood =
    view.getUint32(0, true) === MAGIC &&
    view.getUint32(4, true) === bytes.length - HEADER_BYTES &&
    view.getUint32(8, true) + view.getUint32(12, true) * 2 ** 32 === index &&
    view.getUint32(16, true) === checksum(bytes);
  return isGood ? bytes.subarray(HEADER_BYTES) : null;
}

function checksum(bytes: Uint8Array): number {
  return crc32c(bytes, HEADER_BYTES, bytes.length - HEADER_BYTES, crc32c(bytes, 0, 16, 0));
}
