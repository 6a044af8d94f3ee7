// A device that shows less than what lies behind it, until it is told to grow, and that can be made to answer late: a volume that is
// expanded, or whose stores are slow.
import { checkRequest, type BlockDevice, type BlockExtent, type BlockRequest } from '../../../block/device.ts';

export class GrowingDevice implements BlockDevice {
  sizeBytes: number;
  #held: BlockRequest[] | null = null;
  #onFirst: () => void = () => {};
  readonly #inner: BlockDevice;

  constructor(inner: BlockDevice, sizeBytes = inner.sizeBytes) {
    this.#inner = inner;
    this.sizeBytes = sizeBytes;
  }

  grow(sizeBytes: number): void {
    this.sizeBytes = sizeBytes;
  }

  /** From now on requests wait until release(); `onFirst` is called with the first of them. */
  hold(onFirst: () => void): void {
    this.#held ??= [];
    this.#onFirst = onFirst;
  }

  release(): void {
    const held = this.#held ?? [];
    this.#held = null;
    for (const request of held) this.submit(request);
  }

  get minimumIoBytes(): number {
    return this.#inner.minimumIoBytes;
  }

  get preferredIoBytes(): number {
    return this.#inner.preferredIoBytes;
  }

  get maximumIoBytes(): number {
    return this.#inner.maximumIoBytes;
  }

  get isReadOnly(): boolean {
    return this.#inner.isReadOnly;
  }

  get canTrim(): boolean {
    return this.#inner.canTrim;
  }

  get canMultiConnect(): boolean {
    return this.#inner.canMultiConnect;
  }

  submit(request: BlockRequest): void {
    const refusal = checkRequest(this, request);
    if (refusal !== 0) request.finish(refusal);
    else if (this.#held !== null && this.#held.push(request) === 1) this.#onFirst();
    else if (this.#held !== null) return;
    else this.#inner.submit(request);
  }

  extents(offset: number, length: number): Promise<readonly BlockExtent[]> {
    return this.#inner.extents(offset, length);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}
