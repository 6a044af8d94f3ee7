// The engine of one member: a command is durable when this machine's log has it. Always leader.
// One owner, one loop: proposals queue up, the loop writes all of them as one frame, applies them in order, answers, and takes a
// snapshot when the log has grown enough. What if we die between writing and applying? Opening replays the log: same state.
// Invariants: applied = durable here; nothing is applied before its frame is durable; after a storage failure nothing is written again.
import { PfError, formatErrorChain } from '../base/errors.ts';
import type { World } from '../world/world.ts';
import type { Engine, Machine } from './engine.ts';
import { LogStorage } from './log-storage.ts';
import { SnapshotStorage } from './snapshot-storage.ts';

export interface EmbeddedEngineOptions {
  readonly segmentBytes?: number;
  /** A snapshot is due when this much was logged since the last one, and at least twice the snapshot's own size. */
  readonly snapshotAfterBytes?: number;
}

const MAX_QUEUED = 10_000;
const MAX_BATCH_BYTES = 4 * 1024 * 1024;

interface Proposal<Command, Result> {
  readonly command: Command;
  readonly bytes: Uint8Array;
  resolve(result: Result): void;
  reject(error: PfError): void;
}

type EngineWorld = Pick<World, 'files' | 'log' | 'turn'>;

export class EmbeddedEngine<Command, Result> implements Engine<Command, Result> {
  readonly isLeader = true;
  readonly leaderHint = null;
  readonly failed: Promise<Error>;
  #reportFailure!: (error: Error) => void;
  readonly #world: EngineWorld;
  readonly #machine: Machine<Command, Result>;
  readonly #log: LogStorage;
  readonly #snapshots: SnapshotStorage;
  readonly #lock: { release(): Promise<void> };
  readonly #snapshotAfterBytes: number;
  readonly #queue: Proposal<Command, Result>[] = [];
  #running: Promise<void> | null = null;
  #isScheduled = false;
  #refusal: PfError | null = null;
  #closed: Promise<void> | null = null;
  #appliedIndex: number;
  #bytesSinceSnapshot = 0;
  #snapshotBytes = 0;

  private constructor(
    world: EngineWorld,
    machine: Machine<Command, Result>,
    log: LogStorage,
    snapshots: SnapshotStorage,
    lock: { release(): Promise<void> },
    snapshotAfterBytes: number,
    bytesSinceSnapshot: number,
  ) {
    this.#world = world;
    this.#machine = machine;
    this.#log = log;
    this.#snapshots = snapshots;
    this.#lock = lock;
    this.#snapshotAfterBytes = snapshotAfterBytes;
    this.#appliedIndex = log.lastIndex;
    this.#bytesSinceSnapshot = bytesSinceSnapshot;
    this.failed = new Promise((resolve) => (this.#reportFailure = resolve));
  }

  /** Brings `machine` to the state of everything in `folder`. Errors: INVALID_STATE (another process has the folder), CORRUPT. */
  static async open<Command, Result>(
    world: EngineWorld,
    folder: string,
    machine: Machine<Command, Result>,
    options: EmbeddedEngineOptions = {},
  ): Promise<EmbeddedEngine<Command, Result>> {
    await world.files.makeFolder(folder);
    const lock = await world.files.lock(`${folder}/lock`);
    try {
      const snapshots = await SnapshotStorage.open(world, folder);
      const snapshot = await snapshots.load();
      if (snapshot !== null) machine.restore(snapshot.content);
      let bytesSinceSnapshot = 0;
      const log = await LogStorage.open(
        world,
        folder,
        { segmentBytes: options.segmentBytes ?? 4 * 1024 * 1024 },
        snapshot?.index ?? 0,
        (index, record) => {
          bytesSinceSnapshot += record.length;
          machine.apply(machine.decode(record), index);
        },
      );
      return new EmbeddedEngine(
        world,
        machine,
        log,
        snapshots,
        lock,
        options.snapshotAfterBytes ?? 1024 * 1024,
        bytesSinceSnapshot,
      );
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  get appliedIndex(): number {
    return this.#appliedIndex;
  }

  onRoleChange(_listener: (isLeader: boolean) => void): void {}

  propose(command: Command): Promise<Result> {
    if (this.#refusal !== null) return Promise.reject(this.#refusal);
    if (this.#queue.length >= MAX_QUEUED) {
      return Promise.reject(
        new PfError('UNAVAILABLE', `${MAX_QUEUED} commands wait for the conductor's disk: it is too slow, try again later`),
      );
    }
    const bytes = this.#machine.encode(command);
    return new Promise<Result>((resolve, reject) => {
      this.#queue.push({ command, bytes, resolve, reject });
      if (this.#isScheduled || this.#running !== null) return;
      this.#isScheduled = true;
      this.#world.turn.atEnd(this);
    });
  }

  runAtTurnEnd(): void {
    this.#isScheduled = false;
    this.#start();
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#start();
    this.#refusal ??= new PfError('CANCELLED', 'the conductor is closing');
    while (this.#running !== null) await this.#running;
    await this.#log.close();
    await this.#lock.release();
  }

  #start(): void {
    if (this.#running !== null || this.#queue.length === 0) return;
    this.#running = this.#run().finally(() => {
      this.#running = null;
      this.#start();
    });
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#takeBatch();
      try {
        await this.#log.append(batch.map((proposal) => proposal.bytes));
      } catch (error) {
        this.#fail(batch, error);
        return;
      }
      for (const proposal of batch) {
        this.#appliedIndex += 1;
        this.#bytesSinceSnapshot += proposal.bytes.length;
        proposal.resolve(this.#machine.apply(proposal.command, this.#appliedIndex));
      }
      await this.#snapshotWhenDue();
    }
  }

  #takeBatch(): Proposal<Command, Result>[] {
    let bytes = 0;
    let count = 0;
    while (count < this.#queue.length && bytes < MAX_BATCH_BYTES) {
      bytes += this.#queue[count]!.bytes.length;
      count += 1;
    }
    return this.#queue.splice(0, count);
  }

  /** A snapshot that cannot be written costs a longer log, nothing else; the next one is tried after as many bytes again. */
  async #snapshotWhenDue(): Promise<void> {
    if (this.#bytesSinceSnapshot < Math.max(this.#snapshotAfterBytes, 2 * this.#snapshotBytes)) return;
    this.#bytesSinceSnapshot = 0;
    try {
      const content = this.#machine.snapshot();
      this.#snapshotBytes = content.length;
      await this.#snapshots.save(this.#appliedIndex, content);
      // Dying here leaves segments that nobody needs; the next snapshot removes them.
      await this.#log.removeUpTo(this.#snapshots.logNeededAbove);
    } catch (error) {
      this.#world.log.error(
        `cannot save a snapshot at record ${this.#appliedIndex}; the log grows until it succeeds: ${formatErrorChain(error)}`,
      );
    }
  }

  /** Whether the batch survives is unknown now: only opening again can tell. */
  #fail(batch: readonly Proposal<Command, Result>[], cause: unknown): void {
    const error = new PfError('UNAVAILABLE', "cannot write the conductor's log; free space or repair its disk, then restart it", {
      cause,
    });
    this.#refusal = error;
    this.#world.log.error(formatErrorChain(error));
    for (const proposal of batch) proposal.reject(error);
    for (const proposal of this.#queue.splice(0)) proposal.reject(error);
    this.#reportFailure(error);
  }
}
