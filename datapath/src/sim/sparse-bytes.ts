// The content of a simulated disk: zeros, except where something was written. A disk of 1 TiB costs what was written to it.
import { assert } from '../base/assert.ts';

const PAGE_BYTES = 4096;

export class SparseBytes {
  #sizeBytes: number;
  readonly #pages = new Map<number, Uint8Array>();

  constructor(sizeBytes: number) {
    this.#sizeBytes = sizeBytes;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Memory really used. */
  get allocatedBytes(): number {
    return this.#pages.size * PAGE_BYTES;
  }

  grow(sizeBytes: number): void {
    assert(sizeBytes >= this.#sizeBytes, `cannot shrink from ${this.#sizeBytes} to ${sizeBytes} bytes`);
    this.#sizeBytes = sizeBytes;
  }

  read(offset: number, target: Uint8Array, targetOffset: number, length: number): void {
    this.#check(offset, length);
    for (let done = 0; done < length; ) {
      const page = Math.floor((offset + done) / PAGE_BYTES);
      const within = (offset + done) % PAGE_BYTES;
      const take = Math.min(PAGE_BYTES - within, length - done);
      const bytes = this.#pages.get(page);
      if (bytes === undefined) target.fill(0, targetOffset + done, targetOffset + done + take);
      else target.set(bytes.subarray(within, within + take), targetOffset + done);
      done += take;
    }
  }

  bytesAt(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.read(offset, bytes, 0, length);
    return bytes;
  }

  write(offset: number, source: Uint8Array): void {
    this.#check(offset, source.length);
    for (let done = 0; done < source.length; ) {
      const page = Math.floor((offset + done) / PAGE_BYTES);
      const within = (offset + done) % PAGE_BYTES;
      const take = Math.min(PAGE_BYTES - within, source.length - done);
      let bytes = this.#pages.get(page);
      if (bytes === undefined) {
        bytes = new Uint8Array(PAGE_BYTES);
        this.#pages.set(page, bytes);
      }
      bytes.set(source.subarray(done, done + take), within);
      done += take;
    }
  }

  zero(offset: number, length: number): void {
    this.#check(offset, length);
    if (length / PAGE_BYTES > this.#pages.size) {
      for (const page of [...this.#pages.keys()]) this.#zeroInPage(page, offset, length);
      return;
    }
    for (let page = Math.floor(offset / PAGE_BYTES); page * PAGE_BYTES < offset + length; page += 1)
      this.#zeroInPage(page, offset, length);
  }

  /** Makes this range equal to the other's. */
  copyFrom(other: SparseBytes, offset: number, length: number): void {
    this.write(offset, other.bytesAt(offset, length));
  }

  clone(): SparseBytes {
    const copy = new SparseBytes(this.#sizeBytes);
    for (const [page, bytes] of this.#pages) copy.#pages.set(page, bytes.slice());
    return copy;
  }

  /** The first byte that differs, or -1. */
  firstDifference(other: SparseBytes): number {
    const pages = [...new Set([...this.#pages.keys(), ...other.#pages.keys()])].sort((left, right) => left - right);
    for (const page of pages) {
      const mine = this.#pages.get(page) ?? ZERO_PAGE;
      const theirs = other.#pages.get(page) ?? ZERO_PAGE;
      const at = mine.findIndex((byte, index) => byte !== theirs[index]);
      if (at >= 0) return page * PAGE_BYTES + at;
    }
    return -1;
  }

  #zeroInPage(page: number, offset: number, length: number): void {
    const start = Math.max(offset - page * PAGE_BYTES, 0);
    const end = Math.min(offset + length - page * PAGE_BYTES, PAGE_BYTES);
    if (start >= end) return;
    if (start === 0 && end === PAGE_BYTES) this.#pages.delete(page);
    else this.#pages.get(page)?.fill(0, start, end);
  }

  #check(offset: number, length: number): void {
    const isInside = offset >= 0 && length >= 0 && offset + length <= this.#sizeBytes;
    assert(isInside, `range ${offset}+${length} lies outside a disk of ${this.#sizeBytes} bytes`);
  }
}

const ZERO_PAGE = new Uint8Array(PAGE_BYTES);
