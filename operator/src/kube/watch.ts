// ListWatch: a cache of one kind that follows the API server, whatever happens to it. Opened by kube-world.ts for each kind; read by
// reconcilers, which are woken through `subscribe`.
//
//   list --> watch --clean end--> watch ... --relist period--> list
//     ^        \--error--> back-off, then watch from the last version seen
//     \---------- version expired, stream malformed, or three refusals in a row
//
// Invariants: it never stops until closed; a listener that throws cannot end it; an outage leaves the cache as it was, and the first list
// afterwards yields exactly the differences; one request is under way at a time. A kind that is not served (any more) empties nothing.
import { PfError, formatErrorChain } from '@pureflash/datapath/base';
import type { Clock, Logger, Random } from '@pureflash/datapath/world';
import { refOf, type KubeObject, type ObjectRef } from '../api/objects.ts';
import { ApiError } from './api-error.ts';
import type { KubeClient, ObjectList, Selector, WatchEvent } from './client.ts';

/** `object` is null when it is gone. `before` is what the cache held. */
export type ChangeListener = (ref: ObjectRef, object: KubeObject | null, before: KubeObject | null) => void;

export interface ListWatchOptions extends Selector {
  readonly apiVersion: string;
  readonly kind: string;
  /** Reduces an object to what readers look at: the cache holds only that. `metadata` must keep name, namespace, uid, resourceVersion. */
  readonly keep?: (object: KubeObject) => KubeObject;
  readonly onChange?: ChangeListener;
  /** Default 600 s, less up to a tenth by chance: lists again although nothing is wrong. */
  readonly relistMs?: number;
  /** Default 150 s: bookmarks come about every minute. */
  readonly inactivityMs?: number;
  /** Default 0.5 s. */
  readonly firstRetryMs?: number;
  /** Default 10 s. */
  readonly maxRetryMs?: number;
}

/** What a ListWatch needs of the world. */
export interface ListWatchPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

const DEFAULTS = { relistMs: 600_000, inactivityMs: 150_000, firstRetryMs: 500, maxRetryMs: 10_000 };
/** A watch that ends sooner, having brought nothing, counts as a failure: no hot loop against a proxy that hangs up. */
const SHORTEST_WATCH_MS = 1_000;
const REFUSALS_UNTIL_LIST = 3;
const LOG_AGAIN_MS = 60_000;
/** However long a server wants to be left alone. */
const LONGEST_PAUSE_MS = 120_000;

export class ListWatch {
  readonly counters = { lists: 0, watches: 0, events: 0, bookmarks: 0, failures: 0, listenerErrors: 0 };
  /** Resolves after the first list. Rejects when closed before it. */
  readonly hasSynced: Promise<void>;
  readonly #client: KubeClient;
  readonly #options: ListWatchOptions & typeof DEFAULTS;
  readonly #ports: ListWatchPorts;
  readonly #log: Logger;
  readonly #objects = new Map<string, KubeObject>();
  readonly #listeners = new Set<ChangeListener>();
  readonly #closing = new AbortController();
  readonly #done: Promise<void>;
  #synced!: () => void;
  #unsynced!: (reason: unknown) => void;
  #isSynced = false;
  #resourceVersion = '';
  #relistAt = 0;
  #lastEventAt: number;
  #failuresInRow = 0;
  #refusalsInRow = 0;
  #loggedAt = Number.NEGATIVE_INFINITY;

  /** Starts at once. */
  constructor(client: KubeClient, ports: ListWatchPorts, options: ListWatchOptions) {
    this.#client = client;
    this.#ports = ports;
    this.#options = { ...DEFAULTS, ...options };
    this.#log = ports.log.child({ watch: `${options.apiVersion} ${options.kind}` });
    this.#lastEventAt = ports.clock.now();
    this.hasSynced = new Promise((resolve, reject) => {
      this.#synced = resolve;
      this.#unsynced = reject;
    });
    this.hasSynced.catch(() => {}); // Waiting for it is the reader's choice.
    if (options.onChange !== undefined) this.#listeners.add(options.onChange);
    this.#done = this.#follow();
  }

  get isSynced(): boolean {
    return this.#isSynced;
  }

  get size(): number {
    return this.#objects.size;
  }

  /** Milliseconds since the API server last sent anything for this kind: a list, an event, a bookmark. */
  get lastEventAgeMs(): number {
    return this.#ports.clock.now() - this.#lastEventAt;
  }

  get(name: string, namespace?: string): KubeObject | null {
    return this.#objects.get(keyOf(name, namespace)) ?? null;
  }

  /** The cache itself, in no order: look, do not change. */
  values(): IterableIterator<KubeObject> {
    return this.#objects.values();
  }

  /** Calls `listener` for everything that is in the cache now, then for each change. Returns what ends it. */
  subscribe(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    for (const object of this.#objects.values()) this.#call(listener, refOf(object), object, null);
    return () => this.#listeners.delete(listener);
  }

  /** Ends the watch and waits for it. Idempotent; listeners are not called afterwards. */
  async close(): Promise<void> {
    this.#closing.abort(new PfError('CANCELLED', `the watch of ${this.#options.apiVersion} ${this.#options.kind} is closed`));
    this.#unsynced(this.#closing.signal.reason);
    await this.#done;
    this.#listeners.clear();
  }

  async #follow(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      try {
        if (this.#resourceVersion === '' || this.#ports.clock.now() >= this.#relistAt) await this.#list();
        await this.#watch();
      } catch (error) {
        if (signal.aborted) return;
        this.#noteFailure(error);
        await this.#ports.clock.sleep(this.#retryDelayMs(error), signal).catch(() => {}); // Aborted: the loop ends.
      }
    }
  }

  async #list(): Promise<void> {
    const { apiVersion, kind, keep, namespace, labelSelector, fieldSelector, relistMs } = this.#options;
    this.counters.lists += 1;
    const list = await this.#client.list(apiVersion, kind, {
      signal: this.#closing.signal,
      ...definedSelector({ namespace, labelSelector, fieldSelector }),
      ...(keep === undefined ? {} : { keep }),
    });
    if (this.#closing.signal.aborted) return;
    const { clock, random } = this.#ports;
    this.#lastEventAt = clock.now();
    this.#relistAt = clock.now() + relistMs * (1 - random.float() / 10);
    this.#resourceVersion = list.resourceVersion;
    this.#refusalsInRow = 0;
    this.#takeOver(list);
    this.#isSynced = true;
    this.#synced();
  }

  async #watch(): Promise<void> {
    const { apiVersion, kind, namespace, labelSelector, fieldSelector, inactivityMs } = this.#options;
    const { clock, random } = this.#ports;
    const { signal } = this.#closing;
    if (signal.aborted) return;
    this.counters.watches += 1;
    const startedAt = clock.now();
    const eventsBefore = this.counters.events + this.counters.bookmarks;
    const untilRelistMs = Math.max(1_000, this.#relistAt - startedAt);
    await this.#client.watch(
      apiVersion,
      kind,
      {
        resourceVersion: this.#resourceVersion,
        timeoutSeconds: Math.min(300 * (1 + random.float()), untilRelistMs / 1000),
        inactivityMs,
        signal,
        ...definedSelector({ namespace, labelSelector, fieldSelector }),
      },
      (event) => this.#onEvent(event),
    );
    if (this.counters.events + this.counters.bookmarks === eventsBefore && clock.now() - startedAt < SHORTEST_WATCH_MS) {
      throw new PfError('CONNECTION_LOST', `the watch of ${apiVersion} ${kind} ended as soon as it had begun`);
    }
    this.#noteSuccess();
  }

  #onEvent(event: WatchEvent): void {
    if (this.#closing.signal.aborted) return;
    this.#noteSuccess();
    this.#lastEventAt = this.#ports.clock.now();
    if (event.type === 'BOOKMARK') {
      this.counters.bookmarks += 1;
      this.#resourceVersion = event.resourceVersion;
      return;
    }
    this.counters.events += 1;
    this.#resourceVersion = event.object.metadata.resourceVersion!;
    if (event.type === 'DELETED') this.#remove(event.object);
    else this.#put(this.#options.keep === undefined ? event.object : this.#options.keep(event.object));
  }

  /** Replaces the cache by a list, telling only what differs. */
  #takeOver(list: ObjectList): void {
    const listed = new Set<string>();
    for (const object of list.items) {
      listed.add(keyOf(object.metadata.name, object.metadata.namespace));
      this.#put(object);
    }
    for (const [key, object] of this.#objects) {
      if (!listed.has(key)) this.#remove(object);
    }
  }

  #put(object: KubeObject): void {
    const key = keyOf(object.metadata.name, object.metadata.namespace);
    const before = this.#objects.get(key) ?? null;
    if (before !== null && isSameVersion(before, object)) return;
    this.#objects.set(key, object);
    this.#tell(refOf(object), object, before);
  }

  #remove(object: KubeObject): void {
    const key = keyOf(object.metadata.name, object.metadata.namespace);
    const before = this.#objects.get(key) ?? null;
    if (!this.#objects.delete(key)) return;
    this.#tell(refOf(object), null, before);
  }

  #tell(ref: ObjectRef, object: KubeObject | null, before: KubeObject | null): void {
    for (const listener of this.#listeners) this.#call(listener, ref, object, before);
  }

  #call(listener: ChangeListener, ref: ObjectRef, object: KubeObject | null, before: KubeObject | null): void {
    try {
      listener(ref, object, before);
    } catch (error) {
      this.counters.listenerErrors += 1;
      this.#log.error(`a listener failed; the watch goes on: ${formatErrorChain(error)}`);
    }
  }

  #noteSuccess(): void {
    if (this.#failuresInRow > 0 && this.#loggedAt !== Number.NEGATIVE_INFINITY) {
      this.#log.info('the watch works again', { failures: this.#failuresInRow });
    }
    this.#failuresInRow = 0;
    this.#refusalsInRow = 0;
    this.#loggedAt = Number.NEGATIVE_INFINITY;
  }

  #noteFailure(error: unknown): void {
    this.counters.failures += 1;
    this.#failuresInRow += 1;
    if (mustListAgain(error)) this.#resourceVersion = '';
    if (error instanceof ApiError && error.httpStatus > 0) this.#refusalsInRow += 1;
    // Such as a version from before a restored backup, which this server has not reached yet.
    if (this.#refusalsInRow >= REFUSALS_UNTIL_LIST) this.#resourceVersion = '';
    const now = this.#ports.clock.now();
    if (isExpired(error) || now - this.#loggedAt < LOG_AGAIN_MS) return;
    this.#loggedAt = now;
    this.#log.warn(`the watch failed and is tried again: ${formatErrorChain(error)}`, { failures: this.#failuresInRow });
  }

  /** An expired version is no trouble of the server: the first list after it goes out at once, spread over a second. */
  #retryDelayMs(error: unknown): number {
    const { firstRetryMs, maxRetryMs } = this.#options;
    const { random } = this.#ports;
    if (isExpired(error) && this.#failuresInRow === 1) return random.float() * 1_000;
    const fullMs = Math.min(maxRetryMs, firstRetryMs * 2 ** Math.min(this.#failuresInRow - 1, 20));
    const delayMs = fullMs * (0.5 + random.float() / 2);
    const wantedMs = error instanceof ApiError ? (error.retryAfterMs ?? 0) : 0;
    return Math.max(delayMs, Math.min(wantedMs, LONGEST_PAUSE_MS) * (1 + random.float() / 10));
  }
}

function keyOf(name: string, namespace: string | undefined): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

function isSameVersion(left: KubeObject, right: KubeObject): boolean {
  return left.metadata.uid === right.metadata.uid && left.metadata.resourceVersion === right.metadata.resourceVersion;
}

function isExpired(error: unknown): boolean {
  return error instanceof ApiError && error.isExpired;
}

/** After these we cannot know what we missed. */
function mustListAgain(error: unknown): boolean {
  return isExpired(error) || !(error instanceof PfError) || error.code === 'PROTOCOL_ERROR' || error.code === 'INVALID_ARGUMENT';
}

function definedSelector(selector: { [K in keyof Selector]: Selector[K] | undefined }): Selector {
  return Object.fromEntries(Object.entries(selector).filter(([, value]) => value !== undefined));
}
