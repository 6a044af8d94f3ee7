// Where a run's requests go: a few small regions of a volume, so that requests overlap often, and among them every place where
// the data path changes hands (the ends of objects, of shards and of the volume). Pure but for the random stream it is given.
import { BLOCK_BYTES, KiB, MiB, SECTOR_BYTES, alignDown } from '../../base/sizes.ts';
import type { SeededRandom } from '../seeded-random.ts';

export interface Region {
  readonly offset: number;
  readonly length: number;
}

const OBJECT_BYTES = 64 * MiB;
const EXTENT_BYTES = 64 * KiB;
/** On each side of a boundary. */
const REACH_BYTES = 96 * KiB;
const MAX_REQUEST_BYTES = MiB;

export class HotSet {
  readonly regions: readonly Region[];
  readonly volumeBytes: number;

  constructor(random: SeededRandom, volumeBytes: number, extraRegions: number) {
    this.volumeBytes = volumeBytes;
    const centres = [0, volumeBytes];
    for (let at = OBJECT_BYTES; at < volumeBytes; at += OBJECT_BYTES) centres.push(at);
    for (let extra = 0; extra < extraRegions; extra += 1) centres.push(alignDown(random.below(volumeBytes), EXTENT_BYTES));
    this.regions = centres.map((centre) => {
      const offset = Math.max(0, centre - REACH_BYTES);
      return { offset, length: Math.min(volumeBytes, centre + REACH_BYTES) - offset };
    });
  }

  /** The range of a READ or WRITE: mostly a few blocks, often with edges inside a block, seldom up to 1 MiB. */
  draw(random: SeededRandom): Region {
    const region = random.pick(this.regions);
    const length = Math.min(drawLength(random), this.volumeBytes);
    const unit = random.chance(0.5) ? BLOCK_BYTES : random.chance(0.5) ? SECTOR_BYTES : EXTENT_BYTES;
    const offset = region.offset + alignDown(random.below(region.length), unit);
    return { offset: Math.min(offset, this.volumeBytes - length), length };
  }

  /** The range of a TRIM or WRITE_ZEROES: like draw, whole extents, or now and then everything from somewhere on. */
  drawTrim(random: SeededRandom): Region {
    if (random.chance(0.03)) return { offset: 0, length: this.volumeBytes };
    if (random.chance(0.6)) return this.draw(random);
    const region = random.pick(this.regions);
    const offset = alignDown(region.offset + random.below(region.length), random.chance(0.5) ? EXTENT_BYTES : SECTOR_BYTES);
    const length = random.integer(1, 4) * EXTENT_BYTES;
    return { offset, length: Math.min(length, this.volumeBytes - offset) };
  }
}

function drawLength(random: SeededRandom): number {
  const fate = random.below(100);
  if (fate < 35) return BLOCK_BYTES * random.integer(1, 4);
  if (fate < 75) return SECTOR_BYTES * random.integer(1, 31);
  if (fate < 86) return EXTENT_BYTES * random.integer(1, 2);
  if (fate < 98) return SECTOR_BYTES * random.integer(1, 160);
  return random.chance(0.3) ? MAX_REQUEST_BYTES : SECTOR_BYTES * random.integer(200, MAX_REQUEST_BYTES / SECTOR_BYTES);
}
