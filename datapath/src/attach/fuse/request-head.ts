// The head of a request, read from the arena. One object is used again for each request; nothing is believed before it is checked.
import { IN_HEADER } from './protocol.ts';

const HIGH_WORD = 2 ** 32;

export class FuseRequestHead {
  opcode = 0;
  /** Echoed in the reply; its highest bit says that it was sent before, to another server. */
  uniqueLow = 0;
  uniqueHigh = 0;
  /** 0 when it is larger than any that we gave out. */
  nodeId = 0;
  /** Of the body. */
  bodyAt = 0;
  bodyBytes = 0;

  /** False when these bytes are no request: too short for a head, or of another length than the head says. */
  parse(view: DataView, at: number, length: number): boolean {
    if (length < IN_HEADER.sizeBytes) return false;
    this.opcode = view.getUint32(at + IN_HEADER.opcode, true);
    this.uniqueLow = view.getUint32(at + IN_HEADER.unique, true);
    this.uniqueHigh = view.getUint32(at + IN_HEADER.unique + 4, true);
    this.nodeId = view.getUint32(at + IN_HEADER.nodeId + 4, true) === 0 ? view.getUint32(at + IN_HEADER.nodeId, true) : 0;
    this.bodyAt = at + IN_HEADER.sizeBytes;
    this.bodyBytes = length - IN_HEADER.sizeBytes;
    return view.getUint32(at + IN_HEADER.length, true) === length;
  }
}

/** A 64-bit field as a number; NaN when it is larger than any offset can be. */
export function readU64(view: DataView, at: number): number {
  const high = view.getUint32(at + 4, true);
  return high > 0x1fffff ? Number.NaN : high * HIGH_WORD + view.getUint32(at, true);
}

export function writeU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % HIGH_WORD, true);
  view.setUint32(at + 4, value / HIGH_WORD, true);
}
