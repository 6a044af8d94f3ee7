// Sizes in bytes: constants, alignment, and the text form that people write (512K, 128G, 64TiB).
import { PfError } from './errors.ts';

export const SECTOR_BYTES = 512;
export const BLOCK_BYTES = 4096;
export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;
export const TiB = 1024 * GiB;

export const alignDown = (value: number, to: number): number => value - (value % to);
export const alignUp = (value: number, to: number): number => Math.ceil(value / to) * to;

const UNITS: Record<string, number> = { '': 1, k: KiB, m: MiB, g: GiB, t: TiB };

/** Parses "4096", "64k", "128G", "1.5TiB", "10 MB" (all powers of 1024) to whole bytes. */
export function parseSize(text: string): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*$/i.exec(text);
  const bytes = match ? Number(match[1]) * UNITS[match[2]!.toLowerCase()]! : NaN;
  if (!Number.isSafeInteger(bytes)) {
    throw new PfError(
      'INVALID_ARGUMENT',
      `cannot read size "${text}": write a number of bytes or one with K, M, G or T, such as 128G`,
    );
  }
  return bytes;
}

/** 137438953472 -> "128 GiB"; keeps one decimal where the value is not whole. */
export function formatSize(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${units[unit]}`;
}

/** A size as Kubernetes writes it: "100Gi" (powers of 1024), "1500M" (powers of 1000), 4096. Null when it is none, or not whole. */
export function bytesOfQuantity(quantity: string | number): number | null {
  const match = /^([1-9][0-9]{0,17})(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$/.exec(String(quantity));
  if (match === null) return null;
  const unit = match[2] ?? '';
  const power = ['', 'k', 'm', 'g', 't', 'p'].indexOf(unit.charAt(0).toLowerCase());
  const bytes = Number(match[1]) * (unit.endsWith('i') ? 1024 : 1000) ** power;
  return Number.isSafeInteger(bytes) ? bytes : null;
}
