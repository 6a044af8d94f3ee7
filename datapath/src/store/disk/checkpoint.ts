// Moves the log's tail: writes what the log says into both copies of the table, then a head that begins behind it (disk-format.md, section 3).
// Wanted by the log when it is half full, and by close. Runs beside the requests, one small chunk at a time; larger ones when the log gets short.
// Invariants: a page is written only with a state that is complete in the log; the head moves only after both copies and every block
// that the log would have replayed are flushed; the space is given back only after both heads are durable.
import type { DiskState } from './disk-state.ts';
import type { Head } from './head-page.ts';
import { writeHead } from './head-writer.ts';
import { ENTRIES_PER_PAGE } from './layout.ts';
import type { RedoLog } from './redo-log.ts';
import { flushDisk, pagesToWrite, writeTablePages } from './table-writer.ts';

const CALM_CHUNK_PAGES = 16;
const HASTY_CHUNK_PAGES = 64;

export class Checkpoint {
  readonly #state: DiskState;
  readonly #log: RedoLog;
  #head: Head;
  #running: Promise<void> | null = null;

  constructor(state: DiskState, log: RedoLog, head: Head) {
    this.#state = state;
    this.#log = log;
    this.#head = head;
  }

  get head(): Head {
    return this.#head;
  }

  /** Starts one unless it runs. A failure ends the disk. */
  want(): void {
    if (this.#running === null && this.#state.failure === null) void this.run(false).catch(() => undefined);
  }

  /** One whole checkpoint of the present state. With `isClean` the head says that the disk was closed. */
  async run(isClean: boolean): Promise<void> {
    while (this.#running !== null) await this.#running.catch(() => undefined);
    if (this.#state.failure !== null) throw this.#state.failure;
    this.#running = this.#write(isClean);
    try {
      await this.#running;
    } catch (error) {
      this.#state.fail(`checkpoint: ${(error as Error).message}`);
      throw error;
    } finally {
      this.#running = null;
    }
    // While it ran, the log may have filled up behind its tail: those who stall now wanted one when none could start.
    if (this.#log.usedBytes * 2 > this.#state.geometry.logBytes) this.want();
  }

  async #write(isClean: boolean): Promise<void> {
    const state = this.#state;
    const log = this.#log;
    const { geometry, table } = state;
    const through = log.lastSubmitted;
    const tailPosition = log.nextPosition;
    const dirty = table.takeDirtyPages();
    const oldLimitPages = Math.ceil(this.#head.tableLimit / ENTRIES_PER_PAGE);
    const newLimitPages = Math.max(oldLimitPages, (dirty.at(-1) ?? -1) + 1);
    const pages = pagesToWrite(dirty, oldLimitPages, newLimitPages);
    const options = {
      chunkPages: () => (log.usedBytes * 4 > geometry.logBytes * 3 ? HASTY_CHUNK_PAGES : CALM_CHUNK_PAGES),
      beforeWrite: () => log.whenComplete(log.recordedThrough),
    };
    await writeTablePages(state, geometry.tableOffsetA, pages, options);
    await flushDisk(state);
    await writeTablePages(state, geometry.tableOffsetB, pages, options);
    await log.whenSettled(through);
    if (state.failure !== null) throw state.failure;
    await flushDisk(state);
    const head: Head = {
      ...this.#head,
      headSequence: this.#head.headSequence + 1,
      isClean,
      tableLimit: Math.min(geometry.extentCount, newLimitPages * ENTRIES_PER_PAGE),
      logTailPosition: tailPosition,
      logTailSequence: through + 1,
    };
    await writeHead(state.disk, state.memory, head);
    this.#head = head;
    state.counters.checkpoints += 1;
    log.moveTail(tailPosition);
  }
}
