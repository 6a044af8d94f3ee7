// The conductor as its clients see it: stores (heartbeats, errors), volume clients, command-line tools. Finds the conductor that
// serves among several addresses and sends calls again until their deadline. Every call may be sent twice without harm: creations carry
// a request id, a writer's open merely raises the epoch once more, and a deletion that finds nothing the second time is done.
// Not thread-bound state: the index of the conductor that answered last.
import { PfError, errorCodeOf } from '../base/errors.ts';
import type { World } from '../world/world.ts';
import { withTokenSent } from './api-token.ts';
import { configAnswerField, openedVolumeField } from './bodies.ts';
import { callRoute } from './call.ts';
import type { Field } from './fields.ts';
import { parseHostPort, type HostPort } from './host-port.ts';
import {
  CONDUCTOR_HTTP_PORT,
  type AttachVolumeReply,
  type CreateVolumeReply,
  type DeleteVolumeReply,
  type DiskInfo,
  type GetClusterReply,
  type GetVolumeReply,
  type HandleErrorReply,
  type HandleErrorRequest,
  type HeartbeatReply,
  type HeartbeatRequest,
  type NodeInfo,
  type RecoveryDoneReply,
  type RecoveryDoneRequest,
  type ReleaseVolumeReply,
  type ResizeVolumeReply,
  type StoreInfo,
  type OpenedVolumeConfig,
  type VolumeInfo,
} from './model.ts';
import { CONDUCTOR_PATH, CONDUCTOR_ROUTES, type Route } from './routes.ts';

export interface CallOptions {
  /** For the whole call, over all conductors and attempts. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

export interface OpenVolumeOptions extends CallOptions {
  readonly isReadOnly?: boolean;
  /** Open again with the epoch that this client holds: raises nothing; FENCED when another writer has attached since. */
  readonly attachEpoch?: number;
  /** By which name the conductor remembers who has it attached for writing: a host, a node. "unknown" by default. */
  readonly client?: string;
  /** What attachVolume answered to `client`. Opens only while it lasts (else FENCED), and ends an earlier opening with it. */
  readonly attachment?: number;
  /** Asks again as that opening of a shared attachment: raises nothing (else FENCED when a later one has replaced it). */
  readonly opening?: number;
}

export interface AttachVolumeOptions extends CallOptions {
  /** A host or node, as conductors and people shall see it. */
  readonly client: string;
  readonly isReadOnly?: boolean;
  /** Writes beside others that attach it so. */
  readonly isShared?: boolean;
}

export interface CloseVolumeOptions extends CallOptions {
  /** The epoch that the opening answered; a newer one in force means that the volume is somebody else's, and stays so. */
  readonly attachEpoch: number;
  /** Leaves alone a volume that has got the name since. */
  readonly volumeId?: number;
}

export interface DetachVolumeOptions extends CallOptions {
  /** Only while this one has it attached; when it has not, or not any more, nothing is done and the answer says who has. */
  readonly client?: string;
}

export interface DeleteVolumeOptions extends CallOptions {
  /** Also while somebody has it attached for writing. */
  readonly force?: boolean;
}

export interface CreateVolumeOptions extends CallOptions {
  readonly sizeBytes: number;
  /** 1 to 3; 1 by default. */
  readonly replicaCount?: number;
  /** Multiple of 64 MiB; the cluster's default when absent. */
  readonly shardSizeBytes?: number;
}

const DEFAULT_DEADLINE_MS = 10_000;
const ATTEMPT_MS = 2_000;
/** Opening for writing waits for primaries, deleting for stores: one attempt may take as long as the conductor's own deadline. */
const SLOW_ATTEMPT_MS = 12_000;
const FIRST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 500;

/** A conductor that cannot be reached, or does not lead: nothing is known to have happened, another attempt may succeed. */
const RETRYABLE: ReadonlySet<string> = new Set(['CONNECTION_LOST', 'TIMEOUT', 'NOT_READY', 'PROTOCOL_ERROR']);

export class ConductorClient {
  readonly #world: Pick<World, 'http' | 'clock' | 'random'>;
  readonly #addresses: readonly HostPort[];
  readonly #unreachableMs: number;
  #current = 0;

  /**
   * Addresses are "host:port"; the port may be left out. Throws INVALID_ARGUMENT for an empty or unreadable list.
   * `token`: the cluster's, where it has one.
   * `unreachableMs`: a call gives up after this time, before its deadline, when no conductor could even be connected to.
   */
  constructor(
    world: Pick<World, 'http' | 'clock' | 'random'>,
    addresses: readonly string[],
    options: { readonly unreachableMs?: number; readonly token?: string } = {},
  ) {
    const { http, clock, random } = world;
    this.#unreachableMs = options.unreachableMs ?? Infinity;
    if (addresses.length === 0) throw new PfError('INVALID_ARGUMENT', 'no conductor address given: name at least one host:port');
    this.#world = options.token === undefined ? world : { clock, random, http: withTokenSent(http, options.token) };
    this.#addresses = addresses.map((address) => parseHostPort(address, CONDUCTOR_HTTP_PORT));
  }

  /** Errors: NOT_FOUND, FENCED, UNAVAILABLE (a shard has no primary that answers). */
  async openVolume(name: string, options: OpenVolumeOptions = {}): Promise<OpenedVolumeConfig> {
    const isReopen = options.isReadOnly === true || options.attachEpoch !== undefined || options.opening !== undefined;
    const params = {
      volume_name: name,
      read_only: options.isReadOnly === true,
      attach_epoch: options.attachEpoch ?? null,
      ...(options.client === undefined ? {} : { client: options.client }),
      ...(options.attachment === undefined ? {} : { attachment: options.attachment }),
      ...(options.opening === undefined ? {} : { opening: options.opening }),
    };
    const attempt = new Attempt(
      options,
      isReopen ? ATTEMPT_MS : SLOW_ATTEMPT_MS,
      isReopen ? DEFAULT_DEADLINE_MS : 2 * SLOW_ATTEMPT_MS,
    );
    return readAnswer(
      openedVolumeField,
      await this.#call('open_volume', CONDUCTOR_ROUTES.open_volume, params, null, attempt),
      'open_volume_reply',
    );
  }

  /** Errors: ALREADY_EXISTS, NO_SPACE, INVALID_ARGUMENT, UNAVAILABLE (too few hosts). */
  async createVolume(name: string, options: CreateVolumeOptions): Promise<CreateVolumeReply> {
    const params = {
      volume_name: name,
      size: options.sizeBytes,
      rep_cnt: options.replicaCount ?? 1,
      ...(options.shardSizeBytes === undefined ? {} : { shard_size: options.shardSizeBytes }),
      request_id: this.#world.random.uuid(),
    };
    return this.#call('create_volume', CONDUCTOR_ROUTES.create_volume, params, null, new Attempt(options));
  }

  /** Grows it; with the size that it has already it answers when every store in service knows of it. Errors: INVALID_ARGUMENT (smaller), NO_SPACE, NOT_FOUND, UNAVAILABLE. */
  async resizeVolume(name: string, sizeBytes: number, options: CallOptions = {}): Promise<ResizeVolumeReply> {
    const attempt = new Attempt(options, SLOW_ATTEMPT_MS, 2 * SLOW_ATTEMPT_MS);
    return this.#call('resize_volume', CONDUCTOR_ROUTES.resize_volume, { volume_name: name, size: sizeBytes }, null, attempt);
  }

  /** The machine of that name can attach volumes from now on. */
  async putNode(name: string, version: string, options: CallOptions = {}): Promise<void> {
    const params = { node_name: name, version };
    await this.#call('put_node', CONDUCTOR_ROUTES.put_node, params, null, new Attempt(options));
  }

  /** Errors: NOT_FOUND, INVALID_STATE (it has a volume attached). */
  async removeNode(name: string, options: CallOptions = {}): Promise<void> {
    await this.#call('remove_node', CONDUCTOR_ROUTES.remove_node, { node_name: name }, null, new Attempt(options));
  }

  async listNode(options: CallOptions = {}): Promise<readonly NodeInfo[]> {
    return (await this.#call('list_node', CONDUCTOR_ROUTES.list_node, {}, null, new Attempt(options))).nodes;
  }

  /**
   * The volume is this client's from now on, until detachVolume. For a client that has it so already nothing changes.
   * Errors: NOT_FOUND (the volume, or a node of the client's name), INVALID_STATE (another one writes it, or this one has it in another mode).
   */
  async attachVolume(name: string, options: AttachVolumeOptions): Promise<AttachVolumeReply> {
    const { client, isReadOnly = false, isShared = false } = options;
    const params = { volume_name: name, client, read_only: isReadOnly, shared: isShared };
    return this.#call('attach_volume', CONDUCTOR_ROUTES.attach_volume, params, null, new Attempt(options));
  }

  /** A writer lets go of the volume. Errors: NOT_FOUND. */
  async closeVolume(name: string, options: CloseVolumeOptions): Promise<ReleaseVolumeReply> {
    const params = { volume_name: name, volume_id: options.volumeId ?? 0, attach_epoch: options.attachEpoch };
    return this.#call('close_volume', CONDUCTOR_ROUTES.close_volume, params, null, new Attempt(options));
  }

  /** Takes the volume away from whoever writes it, and fences that writer; with `client` also from a reader. Errors: NOT_FOUND, UNAVAILABLE. */
  async detachVolume(name: string, options: DetachVolumeOptions = {}): Promise<ReleaseVolumeReply> {
    const attempt = new Attempt(options, SLOW_ATTEMPT_MS, 2 * SLOW_ATTEMPT_MS);
    const params = { volume_name: name, ...(options.client === undefined ? {} : { client: options.client }) };
    return this.#call('detach_volume', CONDUCTOR_ROUTES.detach_volume, params, null, attempt);
  }

  /** Errors: NOT_FOUND, INVALID_STATE (somebody has it attached for writing). */
  async deleteVolume(name: string, options: DeleteVolumeOptions = {}): Promise<DeleteVolumeReply> {
    const attempt = new Attempt(options, SLOW_ATTEMPT_MS, 2 * SLOW_ATTEMPT_MS);
    const params = { volume_name: name, ...(options.force === true ? { force: true } : {}) };
    try {
      return await this.#call('delete_volume', CONDUCTOR_ROUTES.delete_volume, params, null, attempt);
    } catch (error) {
      if (attempt.mayHaveHappened && errorCodeOf(error) === 'NOT_FOUND')
        return { op: 'delete_volume_reply', ret_code: 0, pending_stores: [] };
      throw error;
    }
  }

  /** Errors: NOT_FOUND. */
  async getVolume(name: string, options: CallOptions = {}): Promise<GetVolumeReply['volume']> {
    return (await this.#call('get_volume', CONDUCTOR_ROUTES.get_volume, { volume_name: name }, null, new Attempt(options)))
      .volume;
  }

  async volumeExists(name: string, options: CallOptions = {}): Promise<boolean> {
    try {
      await this.#call(
        'check_volume_exists',
        CONDUCTOR_ROUTES.check_volume_exists,
        { volume_name: name },
        null,
        new Attempt(options),
      );
      return true;
    } catch (error) {
      if (errorCodeOf(error) === 'NOT_FOUND') return false;
      throw error;
    }
  }

  async listVolume(options: CallOptions = {}): Promise<readonly VolumeInfo[]> {
    return (await this.#call('list_volume', CONDUCTOR_ROUTES.list_volume, {}, null, new Attempt(options))).volumes;
  }

  /** Those of these names that there are. */
  async getVolumes(names: readonly string[], options: CallOptions = {}): Promise<readonly VolumeInfo[]> {
    const body = { op: 'get_volumes', names } as const;
    return (await this.#call('get_volumes', CONDUCTOR_ROUTES.get_volumes, {}, body, new Attempt(options))).volumes;
  }

  async listStore(options: CallOptions = {}): Promise<readonly StoreInfo[]> {
    return (await this.#call('list_store', CONDUCTOR_ROUTES.list_store, {}, null, new Attempt(options))).store_nodes;
  }

  async listDisk(options: CallOptions = {}): Promise<readonly DiskInfo[]> {
    return (await this.#call('list_disk', CONDUCTOR_ROUTES.list_disk, {}, null, new Attempt(options))).trays;
  }

  async getCluster(options: CallOptions = {}): Promise<GetClusterReply> {
    return this.#call('get_cluster', CONDUCTOR_ROUTES.get_cluster, {}, null, new Attempt(options));
  }

  /** Short attempts, so that one lost packet does not make a store silent for long; a second in all by default. */
  async heartbeat(request: HeartbeatRequest, options: CallOptions = {}): Promise<HeartbeatReply> {
    return this.#call('heartbeat', CONDUCTOR_ROUTES.heartbeat, {}, request, new Attempt(options, 400, 1000));
  }

  /** The short heartbeat, when the last full one still says it all. Errors: NOT_FOUND, this conductor wants a full one. */
  async stillAlive(
    storeId: number,
    last: Pick<HeartbeatRequest, 'incarnation' | 'report'>,
    options: CallOptions = {},
  ): Promise<void> {
    const params = { store_id: storeId, incarnation: last.incarnation, report: last.report };
    await this.#call('still_alive', CONDUCTOR_ROUTES.still_alive, params, null, new Attempt(options, 400, 1000));
  }

  /** Answers the current configuration, also when nothing was changed (ret_code INVALID_STATE). 30 s by default. */
  async handleError(request: HandleErrorRequest, options: CallOptions = {}): Promise<HandleErrorReply> {
    const reply = await this.#call(
      'handle_error',
      CONDUCTOR_ROUTES.handle_error,
      {},
      request,
      new Attempt(options, 1000, 30_000),
    );
    return { ...readAnswer(configAnswerField, reply, 'handle_error_reply'), op: 'handle_error_reply' };
  }

  async recoveryDone(request: RecoveryDoneRequest, options: CallOptions = {}): Promise<RecoveryDoneReply> {
    const reply = await this.#call(
      'recovery_done',
      CONDUCTOR_ROUTES.recovery_done,
      {},
      request,
      new Attempt(options, 1000, 30_000),
    );
    return readAnswer(configAnswerField, reply, 'recovery_done_reply');
  }

  async #call<Params, Body, Answer>(
    op: string,
    route: Route<Params, Body, Answer>,
    params: Partial<Params>,
    body: Body,
    attempt: Attempt,
  ): Promise<Answer> {
    const clock = this.#world.clock;
    const start = clock.now();
    const deadline = start + attempt.deadlineMs;
    let wasReached = false;
    for (let failures = 0; ; ) {
      const index = this.#current;
      try {
        const timeoutMs = Math.max(1, Math.ceil(Math.min(attempt.attemptMs, deadline - clock.now())));
        const target = {
          world: this.#world,
          address: this.#addresses[index]!,
          path: CONDUCTOR_PATH,
          timeoutMs,
          signal: attempt.signal,
        };
        return await callRoute(target, op, route, params, body);
      } catch (error) {
        attempt.signal?.throwIfAborted();
        const code = errorCodeOf(error);
        if (!RETRYABLE.has(code)) throw error;
        if (code !== 'NOT_READY') attempt.mayHaveHappened = true;
        wasReached ||= code !== 'CONNECTION_LOST';
        failures += 1;
        if (this.#current === index) this.#current = (index + 1) % this.#addresses.length;
        const pauseMs = pauseAfter(failures, this.#addresses.length);
        const end = wasReached ? deadline : Math.min(deadline, start + this.#unreachableMs);
        if (clock.now() + pauseMs >= end) throw this.#givenUp(op, Math.round(end - start), error);
        if (pauseMs > 0) await clock.sleep(pauseMs, attempt.signal);
      }
    }
  }

  #givenUp(op: string, deadlineMs: number, cause: unknown): PfError {
    const tried = this.#addresses.map((address) => `${address.host}:${address.port}`).join(', ');
    return new PfError(
      'UNAVAILABLE',
      `no conductor answered ${op} within ${deadlineMs} ms (tried ${tried}); check that one runs and can be reached`,
      { cause },
    );
  }
}

/** A layout decides where data goes: it is read as strictly as a request. */
function readAnswer<T>(field: Field<T>, reply: unknown, path: string): T {
  try {
    return field.fromJson(reply, path);
  } catch (error) {
    throw new PfError(
      'PROTOCOL_ERROR',
      'the conductor sent an answer that is not well formed; do both sides run the same version?',
      { cause: error },
    );
  }
}

/** The limits of one call, and what its attempts have left open. */
class Attempt {
  readonly attemptMs: number;
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
  /** A request may have been executed although its answer was lost. */
  mayHaveHappened = false;

  constructor(options: CallOptions, attemptMs = ATTEMPT_MS, deadlineMs = DEFAULT_DEADLINE_MS) {
    this.attemptMs = attemptMs;
    this.deadlineMs = options.deadlineMs ?? deadlineMs;
    this.signal = options.signal;
  }
}

/** The other conductors are asked at once; after each round of all of them the pause doubles. */
function pauseAfter(failures: number, addressCount: number): number {
  if (failures % addressCount !== 0) return 0;
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(10, failures / addressCount - 1));
}
