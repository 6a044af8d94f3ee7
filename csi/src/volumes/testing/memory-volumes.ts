// A cluster in memory for tests of the controller. It can die before or after any of its steps: the caller then gets no answer, and what
// was done stays done, as with a driver that is killed.
import { PfError } from '@pureflash/datapath/base';
import type { ClusterVolume, FreeSpace, VolumeAttachment, VolumeService, VolumeShape } from '../volume-service.ts';

/** What a caller sees of a driver that was killed. */
export class Killed extends Error {
  override readonly name = 'Killed';
}

export class MemoryVolumes implements VolumeService {
  readonly volumes = new Map<string, ClusterVolume>();
  readonly nodes = new Set(['node-1', 'node-2']);
  freeByDomain: readonly number[] = [100, 100, 100];
  /** Steps so far: two for each call, one before and one after it. */
  steps = 0;
  dieAt = Infinity;
  #lastAttachment = 0;
  readonly #numbers = new Map<string, number>();

  create(name: string, shape: VolumeShape): Promise<ClusterVolume> {
    return this.#step(() => {
      if (this.volumes.has(name)) throw new PfError('ALREADY_EXISTS', `volume "${name}" exists`);
      const volume: ClusterVolume = { name, ...shape, health: 'OK', attachments: [] };
      this.volumes.set(name, volume);
      return volume;
    });
  }

  delete(name: string): Promise<void> {
    return this.#step(() => {
      if (this.#existing(name).attachments.length > 0) throw new PfError('INVALID_STATE', `volume "${name}" is attached`);
      this.volumes.delete(name);
    });
  }

  find(name: string): Promise<ClusterVolume | null> {
    return this.#step(() => this.volumes.get(name) ?? null);
  }

  list(): Promise<readonly ClusterVolume[]> {
    return this.#step(() => [...this.volumes.values()].sort((a, b) => (a.name < b.name ? -1 : 1)));
  }

  attach(name: string, attachment: VolumeAttachment): Promise<number> {
    return this.#step(() => {
      const volume = this.#existing(name);
      if (!this.nodes.has(attachment.node)) throw new PfError('NOT_FOUND', `node "${attachment.node}" is not known`);
      const key = `${name} ${attachment.node}`;
      if (volume.attachments.some((each) => each.node === attachment.node)) return this.#numbers.get(key)!;
      const writer = volume.attachments.find((each) => !each.isReadOnly && !(each.isShared && attachment.isShared));
      if (writer !== undefined && !attachment.isReadOnly) throw new PfError('INVALID_STATE', `"${writer.node}" has it`);
      this.#change(volume, { attachments: [...volume.attachments, attachment] });
      this.#numbers.set(key, ++this.#lastAttachment);
      return this.#lastAttachment;
    });
  }

  detach(name: string, node: string | null): Promise<void> {
    return this.#step(() => {
      const volume = this.#existing(name);
      this.#change(volume, { attachments: volume.attachments.filter((each) => node !== null && each.node !== node) });
    });
  }

  grow(name: string, sizeBytes: number): Promise<number> {
    return this.#step(() => {
      this.#change(this.#existing(name), { sizeBytes });
      return sizeBytes;
    });
  }

  freeSpace(): Promise<FreeSpace> {
    return this.#step(() => ({ byDomain: this.freeByDomain }));
  }

  check(): Promise<void> {
    return this.#step(() => {});
  }

  async #step<T>(work: () => T): Promise<T> {
    this.#live();
    const result = work();
    this.#live();
    return result;
  }

  #live(): void {
    this.steps += 1;
    if (this.steps !== this.dieAt) return;
    throw new Killed();
  }

  #existing(name: string): ClusterVolume {
    const volume = this.volumes.get(name);
    if (volume === undefined) throw new PfError('NOT_FOUND', `volume "${name}" does not exist`);
    return volume;
  }

  #change(volume: ClusterVolume, change: Partial<ClusterVolume>): void {
    this.volumes.set(volume.name, { ...volume, ...change });
  }
}
