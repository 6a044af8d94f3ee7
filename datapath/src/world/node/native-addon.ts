// The native addon (datapath/native), typed, and where to find it: PF_ADDON, beside a bundled program, or datapath/build.
// Its functions return negative errnos where they can fail; see the C files for the details.
import { createRequire } from 'node:module';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { getSystemErrorName } from 'node:util';
import { PfError } from '../../base/errors.ts';

export interface NativeArena {
  readonly buffer: ArrayBuffer;
  readonly addressLow: number;
  readonly addressHigh: number;
  /** Only where the processor has the instruction. */
  readonly crc32c?: (offset: number, length: number, seed: number) => number;
}

export type NativeRingHandle = object;
export type NativeGroup = object;

export interface NativeRing {
  readonly handle: NativeRingHandle;
  readonly mode: 'defer' | 'coop' | 'plain';
  readonly sqEntries: number;
  readonly cqEntries: number;
  readonly control: ArrayBuffer;
  readonly sqes: ArrayBuffer;
  readonly cqes: ArrayBuffer;
}

export interface NativeAddon {
  mapArena(sizeBytes: number): NativeArena | number;
  /** Only where the processor has the instruction. */
  readonly crc32c?: (bytes: Uint8Array, offset: number, length: number, seed: number) => number;

  openRing(sqEntries: number, cqEntries: number, onTurn: () => void): NativeRing | number;
  submitRing(ring: NativeRingHandle): number;
  holdLoop(ring: NativeRingHandle, isHeld: boolean): void;
  registerBuffers(ring: NativeRingHandle, addressLow: number, addressHigh: number, entries: number, group: number): number;
  unregisterBuffers(ring: NativeRingHandle, group: number): number;
  closeRing(ring: NativeRingHandle): void;

  /** `port` is -1 for a unix path; hosts are numeric. */
  openSocket(hostOrPath: string, port: number): { readonly fd: number; readonly address: ArrayBuffer } | number;
  listenSocket(hostOrPath: string, port: number): number;
  /** Two connected unix streams. */
  pairSockets(): readonly [number, number] | number;
  tuneSocket(fd: number): void;
  socketName(fd: number, isPeer: boolean): { readonly host: string; readonly port: number };
  shutdownSocket(fd: number, how: number): number;
  closeDescriptor(fd: number): number;
  tryFlock(fd: number): boolean;
}

/** Calls that may wait in the kernel, and what the kernel announces. */
export interface NativeKernel {
  /** These two run on threads of their own, which hold no descriptors but those that are given. Bytes, 0, or -errno. */
  exchangeNetlink(
    request: Uint8Array,
    descriptors: readonly number[],
    claimPath: string,
    timeoutMs: number,
  ): Promise<ArrayBuffer | number>;
  writeAttribute(path: string, text: string): Promise<number>;
  setIoFlusher(): number;
  lockMemory(buffer: ArrayBuffer): number;
  openNetlinkGroup(id: number, onBytes: (bytes: ArrayBuffer) => void): NativeGroup | number;
  closeNetlinkGroup(group: NativeGroup): void;
}

/** For kernel devices over FUSE. */
export interface NativeFuse {
  /** What may wait for a device that this process serves runs on the thread pool. Promises of 0 or -errno. */
  mountFuse(folder: string, options: string): Promise<number>;
  unmountFolder(folder: string, flags: number): Promise<number>;
  /** The number of a free loop device. */
  loopFindFree(controlFd: number): Promise<number>;
  loopConfigure(fd: number, backingFd: number, blockSizeBytes: number, flags: number): Promise<number>;
  loopSetCapacity(fd: number): Promise<number>;
  loopClear(fd: number): Promise<number>;
  loopKeep(fd: number): Promise<number>;
  duplicateDescriptor(fd: number): number;
  /** Bytes read, or -errno; for descriptors that do not block. */
  readNow(fd: number, bytes: Uint8Array, offset: number, length: number): number;
  pidfdOpen(pid: number): number;
  pidfdGetFd(pidfd: number, fdThere: number): number;
  /** Called in every turn of libuv's loop in which the descriptor is readable, until endWatch. */
  watchReadable(fd: number, callback: () => void): NativeWatch | number;
  endWatch(watch: NativeWatch): void;
}

export interface NativeUblkDevice {
  readonly handle: object;
  readonly fd: number;
  readonly descriptors: ArrayBuffer;
}

/** For kernel devices by ublk. */
export interface NativeUblk {
  /** Each call has a process of its own. -errno, or the commands' results (4 bytes each) and then their bytes. */
  ublkControl(
    program: string,
    commands: Uint32Array,
    bytes: Uint8Array,
    goesOn: boolean,
    claimPath: string,
    attributes: readonly string[],
    timeoutMs: number,
  ): Promise<ArrayBuffer | number>;
  openUblk(path: string, depth: number): NativeUblkDevice | number;
  /** Once; the descriptors are gone afterwards. */
  closeUblk(handle: object): void;
}

export type LoadedAddon = NativeAddon & NativeFuse & NativeKernel & NativeUblk;
export type NativeWatch = object;

const PLACES = ['./', '../build/', '../../../build/'];

/** The addon, or the reason why it cannot be used. */
export function loadNativeAddon(): LoadedAddon | { readonly reason: string } {
  const path = process.env['PF_ADDON'] ?? findBuilt('pureflash.node');
  if (path === undefined) return { reason: 'the native addon is not built; run: node datapath/native/build.mjs' };
  try {
    return createRequire(import.meta.url)(path) as LoadedAddon;
  } catch (error) {
    return { reason: `the native addon ${path} cannot be loaded: ${(error as Error).message}` };
  }
}

/** What is built beside the addon, by its file's name. */
export function findBuilt(name: string): string | undefined {
  const places = PLACES.map((place) => fileURLToPath(new URL(`${place}${name}`, import.meta.url)));
  return places.find((place) => existsSync(place));
}

/** An Error like Node's own, so that one table (system-error.ts) translates both. */
export function nativeError(result: number, call: string): Error {
  const code = getSystemErrorName(result);
  return Object.assign(new Error(`${call}: ${code}`), { code, errno: result, syscall: call });
}

export function unsupported(reason: string): PfError {
  return new PfError('UNSUPPORTED', `io_uring cannot be used: ${reason}`);
}
