// One append to the log is one frame: all commands of a group commit under one checksum. The next append starts only when the
// previous one is durable, so a frame that fails its checksum at the very end was never acknowledged (a torn tail), while one
// that is followed by a good frame has rotted. Little endian, padded to 8 bytes. Version 1:
//   0 u32 magic "PFL1"   4 u32 body bytes   8 u32 first index low   12 u32 first index high   16 u32 record count
//   20 u32 crc32c of bytes 0..20 and the body      24 body: per record u32 length, bytes
import { crc32c } from '../base/crc32c.ts';
import { alignUp } from '../base/sizes.ts';

const MAGIC = 0x314c4650;
const HEADER_BYTES = 24;
const ALIGNMENT = 8;
export const MAX_FRAME_BODY_BYTES = 64 * 1024 * 1024;

export interface Frame {
  readonly firstIndex: number;
  readonly records: readonly Uint8Array[];
}

export interface FrameScan {
  readonly frames: readonly Frame[];
  /** Bytes up to the end of the last good frame. */
  readonly goodBytes: number;
  /** After the good ones come bytes that are no frame, and somewhere after them a good frame: not a torn tail. */
  readonly hasFrameAfterDamage: boolean;
}

export function encodeFrame(firstIndex: number, records: readonly Uint8Array[]): Uint8Array {
  const bodyBytes = records.reduce((sum, record) => sum + 4 + record.length, 0);
  const bytes = new Uint8Array(alignUp(HEADER_BYTES + bodyBytes, ALIGNMENT));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, bodyBytes, true);
  view.setUint32(8, firstIndex % 2 ** 32, true);
  view.setUint32(12, Math.floor(firstIndex / 2 ** 32), true);
  view.setUint32(16, records.length, true);
  let at = HEADER_BYTES;
  for (const record of records) {
    view.setUint32(at, record.length, true);
    bytes.set(record, at + 4);
    at += 4 + record.length;
  }
  view.setUint32(20, checksum(bytes, 0, bodyBytes), true);
  return bytes;
}

export function scanFrames(bytes: Uint8Array): FrameScan {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const frames: Frame[] = [];
  let at = 0;
  while (at < bytes.length) {
    const frame = frameAt(bytes, view, at);
    if (frame === null) break;
    frames.push(frame);
    at += alignUp(HEADER_BYTES + view.getUint32(at + 4, true), ALIGNMENT);
  }
  return { frames, goodBytes: at, hasFrameAfterDamage: hasFrameAfter(bytes, view, at) };
}

function hasFrameAfter(bytes: Uint8Array, view: DataView, damageAt: number): boolean {
  for (let at = damageAt + ALIGNMENT; at + HEADER_BYTES <= bytes.length; at += ALIGNMENT) {
    if (view.getUint32(at, true) === MAGIC && frameAt(bytes, view, at) !== null) return true;
  }
  return false;
}

/** Null unless a whole good frame starts here. */
function frameAt(bytes: Uint8Array, view: DataView, at: number): Frame | null {
  if (at + HEADER_BYTES > bytes.length || view.getUint32(at, true) !== MAGIC) return null;
  const bodyBytes = view.getUint32(at + 4, true);
  if (bodyBytes > MAX_FRAME_BODY_BYTES || at + alignUp(HEADER_BYTES + bodyBytes, ALIGNMENT) > bytes.length) return null;
  if (view.getUint32(at + 20, true) !== checksum(bytes, at, bodyBytes)) return null;
  const records: Uint8Array[] = [];
  let from = at + HEADER_BYTES;
  for (let left = view.getUint32(at + 16, true); left > 0; left -= 1) {
    const length = view.getUint32(from, true);
    records.push(bytes.subarray(from + 4, from + 4 + length));
    from += 4 + length;
  }
  return { firstIndex: view.getUint32(at + 8, true) + view.getUint32(at + 12, true) * 2 ** 32, records };
}

function checksum(bytes: Uint8Array, at: number, bodyBytes: number): number {
  return crc32c(bytes, at + HEADER_BYTES, bodyBytes, crc32c(bytes, at, 20, 0));
}
