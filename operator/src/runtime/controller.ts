// A controller: sources of changes -> keys -> reconcile(key), by a few workers, with back-off. A reconciler never learns what woke it: it
// looks at the world and does what is missing. Called by bin/ with the reconcilers; see WorkQueue for what a key goes through.
// Invariants: one key is never reconciled twice at the same time; work starts only when every source has shown its first full state; an
// error of a reconciler is counted, logged and tried again, and never ends the controller.
import { PfError, errorCodeOf, formatErrorChain } from '@pureflash/datapath/base';
import type { Clock, Logger, Random } from '@pureflash/datapath/world';
import type { KubeObject, ObjectRef } from '../api/objects.ts';
import { DEFAULT_BACKOFF, WorkQueue, type Backoff } from './work-queue.ts';

export interface Outcome {
  /** Look again after this time although nothing changed. */
  readonly requeueAfterMs?: number;
}

/** `signal` is aborted when the controller closes or leadership is lost: then give up at the next step. */
export type Reconcile = (key: string, signal: AbortSignal) => Promise<Outcome | void>;

/** A ListWatch, or anything that tells of changes. */
export interface ChangeSource {
  readonly hasSynced: Promise<void>;
  subscribe(listener: (ref: ObjectRef, object: KubeObject | null, before: KubeObject | null) => void): () => void;
}

/** Which keys a change concerns: of the object as it is, and as it was. */
export type KeysOf = (ref: ObjectRef, object: KubeObject | null, before: KubeObject | null) => Iterable<string>;

export interface ControllerOptions {
  readonly name: string;
  readonly reconcile: Reconcile;
  /** Default 2. */
  readonly workers?: number;
  readonly backoff?: Backoff;
  /** A reconcile that takes longer is reported once, not ended. Default 60 s. */
  readonly slowMs?: number;
}

export interface ControllerPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export interface ControllerMetrics {
  readonly reconciles: number;
  readonly errors: number;
  readonly durationMsTotal: number;
  readonly durationMsMax: number;
  readonly queueDepth: number;
  readonly delayed: number;
  readonly working: number;
}

export class Controller {
  readonly name: string;
  readonly #options: ControllerOptions;
  readonly #ports: ControllerPorts;
  readonly #log: Logger;
  readonly #queue: WorkQueue;
  readonly #closing = new AbortController();
  readonly #sources: ChangeSource[] = [];
  readonly #unsubscribe: (() => void)[] = [];
  #running: Promise<void> | null = null;
  #counts = { reconciles: 0, errors: 0, durationMsTotal: 0, durationMsMax: 0 };

  constructor(ports: ControllerPorts, options: ControllerOptions) {
    this.name = options.name;
    this.#options = options;
    this.#ports = ports;
    this.#log = ports.log.child({ controller: options.name });
    this.#queue = new WorkQueue(ports.clock, ports.random, options.backoff ?? DEFAULT_BACKOFF);
  }

  get metrics(): ControllerMetrics {
    const { depth, delayed, working } = this.#queue;
    return { ...this.#counts, queueDepth: depth, delayed, working };
  }

  /** Before `start`. Default: the key of the changed object itself, "namespace/name" or "name". */
  watch(source: ChangeSource, keysOf: KeysOf = (ref) => [keyOfRef(ref)]): void {
    this.#sources.push(source);
    const listen = (ref: ObjectRef, object: KubeObject | null, before: KubeObject | null): void => {
      for (const key of keysOf(ref, object, before)) this.#queue.add(key);
    };
    this.#unsubscribe.push(source.subscribe(listen));
  }

  /** Wakes a key by hand: something outside Kubernetes changed. */
  enqueue(key: string, afterMs = 0): void {
    this.#queue.addAfter(key, afterMs);
  }

  /** Starts the workers once all sources have synced. `signal`: leadership; its end closes the controller. */
  start(signal?: AbortSignal): void {
    if (this.#running !== null) return;
    const stop = (): void => this.#stop(signal!.reason);
    if (signal?.aborted) stop();
    else signal?.addEventListener('abort', stop, { once: true });
    this.#running = this.#run().finally(() => signal?.removeEventListener('abort', stop));
  }

  /** Aborts what is being reconciled and waits for it. Idempotent. */
  async close(): Promise<void> {
    this.#stop(new PfError('CANCELLED', `controller ${this.name} is closed`));
    await this.#running;
  }

  #stop(reason: unknown): void {
    this.#closing.abort(reason);
    for (const unsubscribe of this.#unsubscribe.splice(0)) unsubscribe();
    this.#queue.close();
  }

  async #run(): Promise<void> {
    try {
      await Promise.race([Promise.all(this.#sources.map((source) => source.hasSynced)), aborted(this.#closing.signal)]);
    } catch {
      return; // Closed before the first full state was there.
    }
    await Promise.all(Array.from({ length: this.#options.workers ?? 2 }, () => this.#work()));
  }

  async #work(): Promise<void> {
    for (let key = await this.#queue.take(); key !== null; key = await this.#queue.take()) {
      await this.#reconcile(key);
      this.#queue.done(key);
    }
  }

  async #reconcile(key: string): Promise<void> {
    const { clock } = this.#ports;
    const startedAt = clock.now();
    const slow = clock.after(this.#options.slowMs ?? 60_000, () => this.#log.warn('this reconcile takes long', { key }));
    try {
      const outcome = await this.#options.reconcile(key, this.#closing.signal);
      this.#queue.forget(key);
      if (outcome?.requeueAfterMs !== undefined) this.#queue.addAfter(key, outcome.requeueAfterMs);
    } catch (error) {
      if (!this.#closing.signal.aborted) this.#tryAgain(key, error);
    } finally {
      slow.cancel();
      const durationMs = clock.now() - startedAt;
      const counts = this.#counts;
      counts.reconciles += 1;
      counts.durationMsTotal += durationMs;
      counts.durationMsMax = Math.max(counts.durationMsMax, durationMs);
    }
  }

  #tryAgain(key: string, error: unknown): void {
    this.#counts.errors += 1;
    const delayMs = this.#queue.addAfterFailure(key, retryAfterMsOf(error));
    const failures = this.#queue.failuresOf(key);
    const fields = { key, failures, retryMs: Math.round(delayMs) };
    // A conflict is how optimistic writes go: the next look settles it.
    if (errorCodeOf(error) === 'STALE' && failures < 5) this.#log.debug(`reconcile again: ${formatErrorChain(error)}`, fields);
    else this.#log.warn(`cannot reconcile: ${formatErrorChain(error)}`, fields);
  }
}

/** "namespace/name", or "name" of an object without a namespace. */
export function keyOfRef(ref: { readonly namespace?: string; readonly name: string }): string {
  return ref.namespace === undefined ? ref.name : `${ref.namespace}/${ref.name}`;
}

export function parseKey(key: string): { readonly namespace?: string; readonly name: string } {
  const slash = key.indexOf('/');
  return slash === -1 ? { name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

/** Keys of the owners of one kind: of the object as it is and as it was. */
export function ownersOfKind(apiVersion: string, kind: string): KeysOf {
  return (ref, object, before) => {
    const keys = new Set<string>();
    for (const owner of [...(object?.metadata.ownerReferences ?? []), ...(before?.metadata.ownerReferences ?? [])]) {
      if (owner.apiVersion === apiVersion && owner.kind === kind) keys.add(keyOfRef({ ...ref, name: owner.name }));
    }
    return keys;
  };
}

function retryAfterMsOf(error: unknown): number {
  const wanted = (error as { retryAfterMs?: unknown } | null)?.retryAfterMs;
  return typeof wanted === 'number' ? wanted : 0;
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
