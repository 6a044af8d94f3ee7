// The durable log of commands: segments `log-<first index>.pfl` in one folder, appended one frame at a time.
// Opening cuts a torn tail and says so; anything else that is wrong is refused, because going on would silently lose commands.
// Invariant: record indices are contiguous over all segments; one append is in flight at a time (the engine sees to it).
import { assert } from '../base/assert.ts';
import { PfError } from '../base/errors.ts';
import type { AppendFile } from '../world/files.ts';
import type { World } from '../world/world.ts';
import { encodeFrame, scanFrames } from './log-frame.ts';

export interface LogOptions {
  /** A segment that is larger than this is followed by a new one. */
  readonly segmentBytes: number;
}

interface Segment {
  readonly path: string;
  readonly firstIndex: number;
}

export type RecordVisitor = (index: number, record: Uint8Array) => void;

export class LogStorage {
  readonly #world: Pick<World, 'files' | 'log'>;
  readonly #folder: string;
  readonly #options: LogOptions;
  readonly #segments: Segment[];
  #file: AppendFile | null;
  #nextIndex: number;

  private constructor(
    world: Pick<World, 'files' | 'log'>,
    folder: string,
    options: LogOptions,
    segments: Segment[],
    file: AppendFile | null,
    nextIndex: number,
  ) {
    this.#world = world;
    this.#folder = folder;
    this.#options = options;
    this.#segments = segments;
    this.#file = file;
    this.#nextIndex = nextIndex;
  }

  /** Visits every record above `afterIndex` in order. Errors: CORRUPT, saying which file and what to do. */
  static async open(
    world: Pick<World, 'files' | 'log'>,
    folder: string,
    options: LogOptions,
    afterIndex: number,
    visit: RecordVisitor,
  ): Promise<LogStorage> {
    const segments = await listSegments(world, folder);
    let nextIndex = segments[0]?.firstIndex ?? afterIndex + 1;
    if (nextIndex > afterIndex + 1) {
      throw new PfError(
        'CORRUPT',
        `the log in "${folder}" starts at record ${nextIndex}, but the snapshot ends at ${afterIndex}: records are missing; restore the folder from a copy`,
      );
    }
    for (const segment of segments) {
      if (segment.firstIndex !== nextIndex) {
        throw new PfError(
          'CORRUPT',
          `log segment "${segment.path}" follows record ${nextIndex - 1}: a segment is missing; restore the folder from a copy`,
        );
      }
      nextIndex = await readSegment(world, segment, segment === segments.at(-1), afterIndex, visit);
    }
    // A snapshot is taken of applied records only, and records are applied when durable: the log cannot end before it, unless it lost its end.
    if (nextIndex <= afterIndex) {
      throw new PfError(
        'CORRUPT',
        `the log in "${folder}" ends at record ${nextIndex - 1}, but the snapshot at ${afterIndex}: records are missing; restore the folder from a copy`,
      );
    }
    const last = segments.at(-1);
    return new LogStorage(world, folder, options, segments, last ? await world.files.openAppend(last.path) : null, nextIndex);
  }

  get lastIndex(): number {
    return this.#nextIndex - 1;
  }

  /** Durable when it resolves. After a failure the storage is not used again. */
  async append(records: readonly Uint8Array[]): Promise<void> {
    assert(records.length > 0, 'an empty append');
    if (this.#file === null || this.#file.sizeBytes >= this.#options.segmentBytes) await this.#startSegment();
    await this.#file!.append(encodeFrame(this.#nextIndex, records));
    this.#nextIndex += records.length;
  }

  /** Removes segments that hold nothing above `index`; the last one always stays. */
  async removeUpTo(index: number): Promise<void> {
    while (this.#segments.length > 1 && this.#segments[1]!.firstIndex <= index + 1) {
      await this.#world.files.remove(this.#segments[0]!.path);
      this.#segments.shift();
    }
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = null;
    await file?.close();
  }

  async #startSegment(): Promise<void> {
    const segment = { path: `${this.#folder}/log-${String(this.#nextIndex).padStart(16, '0')}.pfl`, firstIndex: this.#nextIndex };
    const file = await this.#world.files.openAppend(segment.path);
    await this.#file?.close();
    this.#file = file;
    this.#segments.push(segment);
  }
}

async function listSegments(world: Pick<World, 'files'>, folder: string): Promise<Segment[]> {
  const names = (await world.files.list(folder)).filter((name) => /^log-\d{16}\.pfl$/.test(name));
  return names.sort().map((name) => ({ path: `${folder}/${name}`, firstIndex: Number(name.slice(4, 20)) }));
}

/** Visits one segment's records and returns the index after its last one. */
async function readSegment(
  world: Pick<World, 'files' | 'log'>,
  segment: Segment,
  isLast: boolean,
  afterIndex: number,
  visit: RecordVisitor,
): Promise<number> {
  const bytes = (await world.files.read(segment.path)) ?? new Uint8Array(0);
  const scan = scanFrames(bytes);
  if (scan.goodBytes < bytes.length) {
    const where = `"${segment.path}" is damaged at byte ${scan.goodBytes} of ${bytes.length}`;
    if (!isLast || scan.hasFrameAfterDamage)
      throw new PfError('CORRUPT', `log segment ${where}, and good records follow: restore the folder from a copy`);
    world.log.warn(`log segment ${where}: cutting off a write that was never acknowledged`);
    await cut(world, segment.path, scan.goodBytes);
  }
  let nextIndex = segment.firstIndex;
  for (const frame of scan.frames) {
    if (frame.firstIndex !== nextIndex) {
      throw new PfError(
        'CORRUPT',
        `log segment "${segment.path}" goes on with record ${frame.firstIndex} where ${nextIndex} is due: restore the folder from a copy`,
      );
    }
    for (const record of frame.records) {
      if (nextIndex > afterIndex) visit(nextIndex, record);
      nextIndex += 1;
    }
  }
  return nextIndex;
}

async function cut(world: Pick<World, 'files'>, path: string, sizeBytes: number): Promise<void> {
  const file = await world.files.openAppend(path);
  try {
    await file.truncate(sizeBytes);
  } finally {
    await file.close();
  }
}
