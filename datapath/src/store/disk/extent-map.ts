// Which physical extent backs which place of which volume: volume -> object (64 MiB) -> 1024 slots.
// The truth is in the table's entries; this is their index, rebuilt at open. Hot path: find() remembers the last volume and object.
import { EXTENTS_PER_OBJECT } from './layout.ts';

export const NONE = -1;

class ObjectExtents {
  /** Physical index + 1; 0 = not backed. */
  readonly slots = new Uint32Array(EXTENTS_PER_OBJECT);
  backed = 0;
}

class VolumeExtents {
  readonly objects = new Map<number, ObjectExtents>();
  backed = 0;
}

export class ExtentMap {
  readonly #volumes = new Map<number, VolumeExtents>();
  #lastId = -1;
  #lastVolume: VolumeExtents | undefined = undefined;
  #lastObjectIndex = -1;
  #lastObject: ObjectExtents | undefined = undefined;

  /** The physical extent, or NONE. `extentNumber` counts extents from the volume's start. */
  find(volumeId: number, extentNumber: number): number {
    const object = this.#object(volumeId, Math.floor(extentNumber / EXTENTS_PER_OBJECT));
    return object === undefined ? NONE : object.slots[extentNumber % EXTENTS_PER_OBJECT]! - 1;
  }

  set(volumeId: number, extentNumber: number, physical: number): void {
    const volume = this.#openVolume(volumeId);
    const objectIndex = Math.floor(extentNumber / EXTENTS_PER_OBJECT);
    let object = volume.objects.get(objectIndex);
    if (object === undefined) {
      object = new ObjectExtents();
      volume.objects.set(objectIndex, object);
      this.#forgetLast();
    }
    const slot = extentNumber % EXTENTS_PER_OBJECT;
    if (object.slots[slot] === 0) {
      object.backed += 1;
      volume.backed += 1;
    }
    object.slots[slot] = physical + 1;
  }

  /** Forgets a place; objects and volumes without extents disappear. */
  remove(volumeId: number, extentNumber: number): void {
    const volume = this.#volumes.get(volumeId);
    const objectIndex = Math.floor(extentNumber / EXTENTS_PER_OBJECT);
    const object = volume?.objects.get(objectIndex);
    const slot = extentNumber % EXTENTS_PER_OBJECT;
    if (volume === undefined || object === undefined || object.slots[slot] === 0) return;
    object.slots[slot] = 0;
    object.backed -= 1;
    volume.backed -= 1;
    if (object.backed === 0) volume.objects.delete(objectIndex);
    if (volume.backed === 0) this.#volumes.delete(volumeId);
    this.#forgetLast();
  }

  volumes(): number[] {
    return [...this.#volumes.keys()];
  }

  backedExtents(volumeId: number): number {
    return this.#volumes.get(volumeId)?.backed ?? 0;
  }

  /** The first backed extent number in [from, to), or `to`: skips whole objects, so that walking a thin volume is cheap. */
  nextBacked(volumeId: number, from: number, to: number): number {
    let at = from;
    while (at < to) {
      const objectIndex = Math.floor(at / EXTENTS_PER_OBJECT);
      const object = this.#object(volumeId, objectIndex);
      const end = Math.min(to, (objectIndex + 1) * EXTENTS_PER_OBJECT);
      if (object === undefined) {
        if (this.#lastVolume === undefined) return to;
        at = end;
        continue;
      }
      for (; at < end; at += 1) if (object.slots[at % EXTENTS_PER_OBJECT] !== 0) return at;
    }
    return to;
  }

  #object(volumeId: number, objectIndex: number): ObjectExtents | undefined {
    if (volumeId !== this.#lastId) {
      this.#lastId = volumeId;
      this.#lastVolume = this.#volumes.get(volumeId);
      this.#lastObjectIndex = -1;
    }
    if (objectIndex !== this.#lastObjectIndex) {
      this.#lastObjectIndex = objectIndex;
      this.#lastObject = this.#lastVolume?.objects.get(objectIndex);
    }
    return this.#lastObject;
  }

  #openVolume(volumeId: number): VolumeExtents {
    const volume = this.#volumes.get(volumeId);
    if (volume !== undefined) return volume;
    const created = new VolumeExtents();
    this.#volumes.set(volumeId, created);
    this.#forgetLast();
    return created;
  }

  #forgetLast(): void {
    this.#lastId = -1;
    this.#lastVolume = undefined;
    this.#lastObjectIndex = -1;
    this.#lastObject = undefined;
  }
}
