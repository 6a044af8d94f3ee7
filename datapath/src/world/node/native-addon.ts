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
  tuneSocket(fd: number): void;
  socketName(fd: number, isPeer: boolean): { readonly host: string; readonly port: number };
  shutdownSocket(fd: number, how: number): number;
  closeDescriptor(fd: number): number;
  tryFlock(fd: number): boolean;
}

const CANDIDATES = ['./pureflash.node', '../build/pureflash.node', '../../../build/pureflash.node'];

/** The addon, or the reason why it cannot be used. */
export function loadNativeAddon(): NativeAddon | { readonly reason: string } {
  const places = CANDIDATES.map((candidate) => fileURLToPath(new URL(candidate, import.meta.url)));
  const chosen = process.env['PF_ADDON'];
  const path = chosen ?? places.find((place) => existsSync(place));
  if (path === undefined) return { reason: 'the native addon is not built; run: node datapath/native/build.mjs' };
  try {
    return createRequire(import.meta.url)(path) as NativeAddon;
  } catch (error) {
    return { reason: `the native addon ${path} cannot be loaded: ${(error as Error).message}` };
  }
}

/** An Error like Node's own, so that one table (system-error.ts) translates both. */
export function nativeError(result: number, call: string): Error {
  const code = getSystemErrorName(result);
  return Object.assign(new Error(`${call}: ${code}`), { code, errno: result, syscall: call });
}

export function unsupported(reason: string): PfError {
  return new PfError('UNSUPPORTED', `io_uring cannot be used: ${reason}`);
}
