// What every written sector of a checked volume carries, so that its bytes say where they belong:
//
//   0 magic   4 volume tag   8 write number (u32 low, u32 high)   16 sector number (u32 low, u32 high)   24.. pattern of all these
import { SECTOR_BYTES } from '../../base/sizes.ts';

const MAGIC = 0x53454354;
const HEAD_BYTES = 24;

export type StampReading =
  | { readonly kind: 'zero' }
  | { readonly kind: 'stamp'; readonly volumeTag: number; readonly writeNumber: number; readonly sector: number }
  /** No stamp, or one whose pattern breaks at `at`. */
  | {
      readonly kind: 'garbage';
      readonly at: number;
      readonly volumeTag: number;
      readonly writeNumber: number;
      readonly sector: number;
    };

export function writeStamp(view: DataView, at: number, volumeTag: number, writeNumber: number, sector: number): void {
  view.setUint32(at, MAGIC);
  view.setUint32(at + 4, volumeTag);
  setU53(view, at + 8, writeNumber);
  setU53(view, at + 16, sector);
  let word = firstWord(volumeTag, writeNumber, sector);
  for (let offset = HEAD_BYTES; offset < SECTOR_BYTES; offset += 4) {
    view.setUint32(at + offset, word);
    word = nextWord(word);
  }
}

export function readStamp(view: DataView, at: number): StampReading {
  const volumeTag = view.getUint32(at + 4);
  const writeNumber = getU53(view, at + 8);
  const sector = getU53(view, at + 16);
  const magic = view.getUint32(at);
  if (magic === 0 && isAllZero(view, at)) return { kind: 'zero' };
  if (magic !== MAGIC) return { kind: 'garbage', at: 0, volumeTag, writeNumber, sector };
  let word = firstWord(volumeTag, writeNumber, sector);
  for (let offset = HEAD_BYTES; offset < SECTOR_BYTES; offset += 4) {
    if (view.getUint32(at + offset) !== word) return { kind: 'garbage', at: offset, volumeTag, writeNumber, sector };
    word = nextWord(word);
  }
  return { kind: 'stamp', volumeTag, writeNumber, sector };
}

function isAllZero(view: DataView, at: number): boolean {
  for (let offset = 0; offset < SECTOR_BYTES; offset += 4) if (view.getUint32(at + offset) !== 0) return false;
  return true;
}

function firstWord(volumeTag: number, writeNumber: number, sector: number): number {
  return (Math.imul(volumeTag, 0x9e3779b1) ^ Math.imul(writeNumber, 0x85ebca6b) ^ Math.imul(sector, 0xc2b2ae35)) >>> 0 || 1;
}

function nextWord(word: number): number {
  return (Math.imul(word, 1664525) + 1013904223) >>> 0;
}

function setU53(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0);
  view.setUint32(at + 4, Math.floor(value / 2 ** 32));
}

function getU53(view: DataView, at: number): number {
  return view.getUint32(at) + view.getUint32(at + 4) * 2 ** 32;
}
