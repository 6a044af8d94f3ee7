// Brings the pieces of a volume's requests to the primaries of their shards and brings them home again: sends, parks what has no
// path now, sends again, and keeps asking the conductor for the layout while anything is parked.
//
//   send() --path up--> in flight --answered--> home (parent told)
//      \--no path, or the shard rests--> parked <--retry--/      parked --path up, rest over, newer layout--> in flight
//
// Invariants: a piece is in exactly one place (a link, or one shard's parked queue); it comes home exactly once; a piece is never sent
// directly from its own return unless the layout has changed since it was sent, so there is no recursion without end.
// After `failure` (fenced, volume gone) everything comes home with EIO.
import { formatErrorChain, errorCodeOf, PfError } from '../base/errors.ts';
import type { VolumeConfig } from '../api/model.ts';
import type { ConductorClient } from '../api/conductor-client.ts';
import { EIO, ENOMEM } from '../world/completion.ts';
import type { Timer } from '../world/clock.ts';
import type { World } from '../world/world.ts';
import type { CommandOwner, StoreCommand, StoreLink } from '../wire/command.ts';
import type { ClientSession } from '../wire/client-session.ts';
import { CommandQueue } from '../wire/command-queue.ts';
import { DONE, errnoOf, FAIL, FENCED, pauseMsOf, verdictOf } from './retry.ts';
import { addressOf, targetsOf, type ShardTarget } from './shard-layout.ts';
import { StorePath } from './store-path.ts';
import type { SubRequest, VolumeRequest } from './volume-request.ts';
import type { VolumeStats } from './volume-stats.ts';

export interface RouterOptions {
  readonly client: ConductorClient;
  readonly isReadOnly: boolean;
  /** This client's opening of a shared attachment; null where it writes alone, or reads. */
  readonly shared: SharedOpening | null;
  readonly connections: number;
  readonly depth: number;
  readonly localLink: { readonly storeId: number; readonly link: StoreLink } | null;
  /** Pieces that may be parked in one shard; more come home with ENOMEM. */
  readonly maximumParked: number;
  readonly stats: VolumeStats;
}

/** Gives a right to the attach epoch in force, whichever that is, for as long as it lasts. */
export interface SharedOpening {
  readonly client: string;
  readonly attachment: number;
  readonly opening: number;
}

export interface PieceOwner {
  /** Errno 0: done. */
  pieceHome(piece: SubRequest, errno: number): void;
}

const ASK_EVERY_MS = 100;
const ASK_DEADLINE_MS = 1000;
const LOOK_MS = 20;
/** How long the piece that asks whether a primary serves again is given before the next one. */
const PROBE_MS = 50;

class Shard {
  target: ShardTarget;
  path: StorePath;
  readonly parked: CommandQueue;
  /**
   * The primary refused: nothing is sent before this time, and then a single piece, which shows whether the primary serves again.
   * 0: it serves, as far as is known.
   */
  restUntilMs = 0;

  constructor(target: ShardTarget, path: StorePath, maximumParked: number) {
    this.target = target;
    this.path = path;
    this.parked = new CommandQueue(maximumParked);
  }
}

export class ShardRouter implements CommandOwner {
  /** Set once: nothing can be done with this volume any more. */
  failure: PfError | null = null;
  readonly #world: World;
  readonly #options: RouterOptions;
  readonly #owner: PieceOwner;
  readonly #volumeName: string;
  readonly #volumeId: number;
  readonly #clientIds: readonly number[];
  /** A newer attach epoch is no end for it: it reads, or writes beside others. */
  readonly #followsEpoch: boolean;
  #token: number;
  #attachEpoch: number;
  readonly #shards: Shard[];
  #sizeBytes: number;
  readonly #paths = new Map<string, StorePath>();
  readonly #closing = new Set<Promise<void>>();
  readonly #withParked = new Set<Shard>();
  readonly #abort = new AbortController();
  #looker: Timer | null = null;
  #asking: Promise<void> | null = null;
  #lastAskMs: number;

  constructor(world: World, config: VolumeConfig, owner: PieceOwner, options: RouterOptions) {
    this.#world = world;
    this.#options = options;
    this.#owner = owner;
    this.#volumeName = config.volume_name;
    this.#volumeId = config.volume_id;
    this.#token = config.token;
    this.#attachEpoch = config.attach_epoch;
    this.#followsEpoch = options.isReadOnly || options.shared !== null;
    this.#sizeBytes = config.volume_size;
    this.#clientIds = Array.from({ length: options.connections }, () => Math.max(1, world.random.u32()));
    this.#lastAskMs = world.clock.now();
    this.#shards = targetsOf(config).map((target) => new Shard(target, this.#pathTo(target), options.maximumParked));
    for (const path of this.#paths.values()) path.prepare();
  }

  get attachEpoch(): number {
    return this.#attachEpoch;
  }

  /** As large as the newest layout that was seen says; there is a shard for all of it. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Takes the layout as it is now. Errors: those of asking; the reason when the volume is lost to this client. */
  async refresh(): Promise<void> {
    const error = await this.#ask();
    if (this.failure !== null) throw this.failure;
    if (error !== null)
      throw new PfError(errorCodeOf(error), `cannot learn the size of volume "${this.#volumeName}"`, { cause: error });
  }

  send(piece: SubRequest): void {
    if (this.failure !== null) return this.#home(piece, EIO);
    const shard = this.#shards[piece.shardIndex]!;
    if (shard.restUntilMs !== 0) return this.#park(piece, shard);
    this.#dispatch(piece, shard);
  }

  #dispatch(piece: SubRequest, shard: Shard): void {
    const link = shard.path.linkFor(piece.connection);
    if (link === null) return this.#park(piece, shard);
    piece.volumeId = this.#volumeId;
    piece.token = this.#token;
    piece.attachEpoch = this.#attachEpoch;
    piece.metaVersion = shard.target.metaVersion;
    piece.session = shard.path.sessionFor(piece.connection);
    link.submit(piece);
  }

  commandDone(command: StoreCommand): void {
    const piece = command as SubRequest;
    const shard = this.#shards[piece.shardIndex]!;
    piece.session = null;
    const verdict = verdictOf(piece.status);
    if (verdict === DONE || verdict === FAIL) {
      this.#home(piece, verdict === DONE ? 0 : errnoOf(piece.status));
      if (shard.restUntilMs !== 0) this.#endRest(shard);
      return;
    }
    if (verdict === FENCED && !this.#followsEpoch) this.#fail(this.#fencedError());
    if (this.failure !== null || piece.parent!.isExpired) return this.#home(piece, EIO);
    this.#options.stats.retries += 1;
    piece.commandSequence += 1;
    if (piece.metaVersion !== shard.target.metaVersion || piece.attachEpoch !== this.#attachEpoch) return this.send(piece);
    const pauseMs = pauseMsOf(piece.status);
    if (pauseMs > 0) shard.restUntilMs = this.#world.clock.now() + pauseMs;
    else shard.path.linkFor(piece.connection);
    this.#park(piece, shard);
  }

  /** The deadlines of these requests have passed: their pieces come home soon, by breaking the connections that have them if need be. */
  expire(requests: readonly VolumeRequest[]): void {
    const sessions = new Set<ClientSession>();
    for (const request of requests) {
      for (let piece = request.firstPiece; piece !== null; piece = piece.nextOfParent)
        if (piece.session !== null) sessions.add(piece.session);
    }
    for (const session of sessions) void session.close();
    for (const shard of this.#withParked) this.#flush(shard);
  }

  /** Somebody else knows that nothing can be done with this volume any more: what is out comes home with EIO, and so does what comes. */
  fail(reason: PfError): void {
    this.#fail(reason);
    this.#abort.abort();
    for (const path of this.#paths.values()) this.#end(path);
    this.#paths.clear();
  }

  /** Ends all connections; what is still out comes home with EIO. Idempotent. */
  async close(): Promise<void> {
    this.fail(new PfError('CANCELLED', `volume "${this.#volumeName}" was closed`));
    await Promise.all([...this.#closing, this.#asking]);
  }

  #home(piece: SubRequest, errno: number): void {
    this.#owner.pieceHome(piece, errno);
  }

  #park(piece: SubRequest, shard: Shard): void {
    if (!shard.parked.push(piece)) return this.#home(piece, ENOMEM);
    this.#withParked.add(shard);
    this.#looker ??= this.#world.clock.every(LOOK_MS, () => this.#look());
    this.#asking ??= this.#askWhileParked();
  }

  #look(): void {
    for (const shard of this.#withParked) this.#flush(shard);
    if (this.#withParked.size > 0) return;
    this.#looker?.cancel();
    this.#looker = null;
  }

  /** Sends what is parked, as far as there is a path and the shard does not rest; the others are parked again. */
  #flush(shard: Shard): void {
    const now = this.#world.clock.now();
    for (let left = shard.parked.count; left > 0; left -= 1) {
      const piece = shard.parked.shift() as SubRequest | null;
      if (piece === null) break;
      if (this.failure !== null || piece.parent!.isExpired) {
        this.#home(piece, EIO);
      } else if (shard.restUntilMs === 0) {
        this.#dispatch(piece, shard);
      } else if (now < shard.restUntilMs) {
        shard.parked.push(piece);
      } else {
        shard.restUntilMs = now + PROBE_MS;
        this.#dispatch(piece, shard);
      }
    }
    if (shard.parked.count === 0) this.#withParked.delete(shard);
  }

  #endRest(shard: Shard): void {
    shard.restUntilMs = 0;
    if (this.#withParked.has(shard)) this.#flush(shard);
  }

  #fail(error: PfError): void {
    if (this.failure !== null) return;
    this.failure = error;
    if (error.code !== 'CANCELLED') this.#world.log.error('volume failed', { volume: this.#volumeName, error: error.message });
    for (const shard of this.#withParked) this.#flush(shard);
    this.#looker?.cancel();
    this.#looker = null;
  }

  #fencedError(): PfError {
    return new PfError(
      'FENCED',
      `volume "${this.#volumeName}" was attached by a newer writer: this client's epoch ${this.#attachEpoch} is over; close it and open it again if it is meant to take over`,
    );
  }

  async #askWhileParked(): Promise<void> {
    const { clock, log } = this.#world;
    let complaint = '';
    try {
      while (this.#withParked.size > 0 && this.failure === null) {
        await clock.sleep(Math.max(0, this.#lastAskMs + ASK_EVERY_MS - clock.now()), this.#abort.signal);
        if (this.#withParked.size === 0 || this.failure !== null) break;
        this.#lastAskMs = clock.now();
        const failure = await this.#ask();
        const error = failure === null ? '' : formatErrorChain(failure);
        if (error !== '' && error !== complaint)
          log.warn('cannot get the layout of a volume; asking again', { volume: this.#volumeName, error });
        complaint = error;
      }
    } catch (error) {
      if (!this.#abort.signal.aborted) throw error;
    } finally {
      this.#asking = null;
    }
  }

  /** Takes the layout as it is now; why there is none, or null. */
  async #ask(): Promise<unknown> {
    const { client, isReadOnly, shared } = this.#options;
    const attach = isReadOnly ? { isReadOnly } : (shared ?? { attachEpoch: this.#attachEpoch });
    try {
      const config = await client.openVolume(this.#volumeName, {
        ...attach,
        deadlineMs: ASK_DEADLINE_MS,
        signal: this.#abort.signal,
      });
      this.#take(config);
      return null;
    } catch (error) {
      if (this.#abort.signal.aborted) return null;
      const code = errorCodeOf(error);
      if (code === 'FENCED' && !isReadOnly) this.#fail(this.#fencedError());
      else if (code === 'NOT_FOUND')
        this.#fail(new PfError('NOT_FOUND', `volume "${this.#volumeName}" exists no more`, { cause: error }));
      return error;
    }
  }

  #take(config: VolumeConfig): void {
    if (this.failure !== null) return;
    if (config.volume_id !== this.#volumeId) {
      return this.#fail(new PfError('NOT_FOUND', `volume "${this.#volumeName}" was deleted and created anew; open it again`));
    }
    const targets = targetsOf(config);
    const isNewEpoch = this.#followsEpoch && config.attach_epoch > this.#attachEpoch;
    if (isNewEpoch) this.#attachEpoch = config.attach_epoch;
    this.#token = config.token;
    let changes = isNewEpoch ? 1 : 0;
    for (const [index, shard] of this.#shards.entries()) {
      const target = targets[index];
      if (target === undefined || target.metaVersion < shard.target.metaVersion) continue;
      const isNewer = target.metaVersion > shard.target.metaVersion;
      const hasMoved = target.address !== shard.target.address || target.storeId !== shard.target.storeId;
      if (!isNewer && !hasMoved && !isNewEpoch) continue;
      shard.target = target;
      shard.path = this.#pathTo(target);
      shard.restUntilMs = 0;
      changes += 1;
    }
    this.#grow(config, targets);
    if (changes === 0) return;
    this.#options.stats.reopens += 1;
    this.#dropUnusedPaths();
    for (const shard of this.#withParked) this.#flush(shard);
  }

  /** The volume has been resized: first the shards, then the size that lets requests go to them. */
  #grow(config: VolumeConfig, targets: readonly ShardTarget[]): void {
    if (config.volume_size <= this.#sizeBytes) return;
    for (const target of targets.slice(this.#shards.length)) {
      const shard = new Shard(target, this.#pathTo(target), this.#options.maximumParked);
      shard.path.prepare();
      this.#shards.push(shard);
    }
    this.#sizeBytes = config.volume_size;
  }

  #pathTo(target: ShardTarget): StorePath {
    const key = keyOf(target);
    let path = this.#paths.get(key);
    if (path === undefined) {
      const { localLink, depth } = this.#options;
      const link = localLink !== null && localLink.storeId === target.storeId ? localLink.link : null;
      const options = { volumeId: this.#volumeId, token: this.#token, clientIds: this.#clientIds, depth };
      path = new StorePath(this.#world, target.storeId, addressOf(target.address), options, link, (up) => this.#pathUp(up));
      this.#paths.set(key, path);
    }
    return path;
  }

  /** What an old primary still has comes back and goes to the new one: the old one refuses its meta version anyway. */
  #dropUnusedPaths(): void {
    const used = new Set(this.#shards.map((shard) => shard.path));
    for (const [key, path] of this.#paths) {
      if (used.has(path)) continue;
      this.#paths.delete(key);
      this.#end(path);
    }
  }

  #end(path: StorePath): void {
    const closing = path.close().finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }

  #pathUp(path: StorePath): void {
    for (const shard of this.#withParked) if (shard.path === path) this.#flush(shard);
  }
}

const keyOf = (target: ShardTarget): string => `${target.storeId}@${target.address}`;
