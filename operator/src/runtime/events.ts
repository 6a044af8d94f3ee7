// Events for people ("kubectl describe"): events.k8s.io/v1, with repetitions counted in a series instead of written out.
// The same reason about the same object within ten minutes is one series, and a series is written at most once a minute: the first time at
// once, afterwards its count. Called by reconcilers; `record` returns at once and never throws. Events are lossy by design: at most
// SERIES_MAX series are remembered, one write is under way at a time, and one that fails three times is given up.
import { errorCodeOf, formatErrorChain } from '@pureflash/datapath/base';
import type { Clock, Logger, Random, Timer } from '@pureflash/datapath/world';
import type { JsonObject, KubeObject, ObjectRef } from '../api/objects.ts';
import { formatMicros } from './iso-time.ts';

export interface EventNote {
  readonly type: 'Normal' | 'Warning';
  /** One word for programs: "StoreMissing". */
  readonly reason: string;
  /** What was being done: "Upgrade", "Format". */
  readonly action: string;
  /** A sentence for people; cut at 1024 characters. */
  readonly note: string;
}

/** Where events go: a KubeClient has both. */
export interface EventStore {
  create(object: KubeObject): Promise<KubeObject>;
  patch(ref: ObjectRef, patch: JsonObject): Promise<KubeObject>;
}

export interface EventRecorderOptions {
  /** "pureflash.io/operator". */
  readonly controller: string;
  /** Which process of it: the pod's name. */
  readonly instance: string;
}

export interface EventRecorderPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export const SERIES_MAX = 1_000;
const SERIES_WINDOW_MS = 600_000;
const WRITE_PERIOD_MS = 60_000;
const ATTEMPTS_MAX = 3;
const RETRY_MS = 5_000;
const NOTE_LENGTH_MAX = 1_024;
const EVENT = { apiVersion: 'events.k8s.io/v1', kind: 'Event' };

interface Series {
  readonly key: string;
  readonly regarding: KubeObject | ObjectRef;
  readonly note: EventNote;
  readonly firstWallMs: number;
  count: number;
  lastAt: number;
  lastWallMs: number;
  /** Null until it exists in the API server. */
  ref: ObjectRef | null;
  writtenCount: number;
  nextWriteAt: number;
  attempts: number;
}

export class EventRecorder {
  readonly counters = { recorded: 0, written: 0, dropped: 0 };
  readonly #store: EventStore;
  readonly #ports: EventRecorderPorts;
  readonly #options: EventRecorderOptions;
  /** In order of their last event, the oldest first. */
  readonly #series = new Map<string, Series>();
  #writing: Series | null = null;
  #isClosed = false;
  #timer: Timer | null = null;

  constructor(store: EventStore, ports: EventRecorderPorts, options: EventRecorderOptions) {
    this.#store = store;
    this.#ports = ports;
    this.#options = options;
  }

  /** `regarding`: best the object itself, so that the event knows its uid and "kubectl describe" shows it. */
  record(regarding: KubeObject | ObjectRef, note: EventNote): void {
    if (this.#isClosed) return;
    const now = this.#ports.clock.now();
    this.counters.recorded += 1;
    const key = keyOf(regarding, note);
    let series = this.#series.get(key);
    if (series === undefined || now - series.lastAt > SERIES_WINDOW_MS) series = this.#open(key, regarding, note, now);
    series.count += 1;
    series.lastAt = now;
    series.lastWallMs = this.#ports.clock.wallTimeMs();
    this.#series.delete(key);
    this.#series.set(key, series);
    this.#makeRoom();
    this.#plan();
  }

  /** Writes no more; what was not written is lost. Idempotent. */
  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#series.clear();
  }

  #open(key: string, regarding: KubeObject | ObjectRef, note: EventNote, now: number): Series {
    const wallMs = this.#ports.clock.wallTimeMs();
    return {
      key,
      regarding: referenceOnly(regarding),
      note: { ...note, note: note.note.slice(0, NOTE_LENGTH_MAX) },
      firstWallMs: wallMs,
      count: 0,
      lastAt: now,
      lastWallMs: wallMs,
      ref: null,
      writtenCount: 0,
      nextWriteAt: now,
      attempts: 0,
    };
  }

  #makeRoom(): void {
    for (const [key, series] of this.#series) {
      if (this.#series.size <= SERIES_MAX) return;
      if (series === this.#writing) continue;
      if (series.writtenCount < series.count) this.counters.dropped += 1;
      this.#series.delete(key);
    }
  }

  /** One timer for the series that is due first. */
  #plan(): void {
    this.#timer?.cancel();
    this.#timer = null;
    if (this.#writing !== null || this.#isClosed) return;
    const { clock } = this.#ports;
    const now = clock.now();
    let first: Series | null = null;
    for (const series of this.#series.values()) {
      if (series.writtenCount < series.count && (first === null || series.nextWriteAt < first.nextWriteAt)) first = series;
    }
    if (first === null) {
      this.#forgetOld(now);
      return;
    }
    const due = first;
    if (due.nextWriteAt <= now) void this.#write(due);
    else this.#timer = clock.after(due.nextWriteAt - now, () => this.#plan());
  }

  #forgetOld(now: number): void {
    for (const [key, series] of this.#series) {
      if (now - series.lastAt <= SERIES_WINDOW_MS) return;
      this.#series.delete(key);
    }
  }

  async #write(series: Series): Promise<void> {
    this.#writing = series;
    const { clock, log } = this.#ports;
    const { count } = series;
    try {
      if (series.ref === null) series.ref = await this.#create(series);
      else await this.#store.patch(series.ref, { series: this.#seriesField(series) });
      series.writtenCount = count;
      series.attempts = 0;
      series.nextWriteAt = clock.now() + WRITE_PERIOD_MS;
      this.counters.written += 1;
    } catch (error) {
      if (errorCodeOf(error) === 'NOT_FOUND') series.ref = null; // The API server forgets events after an hour.
      series.attempts += 1;
      series.nextWriteAt = clock.now() + RETRY_MS;
      if (series.attempts >= ATTEMPTS_MAX || errorCodeOf(error) === 'INVALID_ARGUMENT') {
        this.counters.dropped += 1;
        this.#series.delete(series.key);
        log.warn(`an event was given up: ${formatErrorChain(error)}`, { reason: series.note.reason, note: series.note.note });
      }
    } finally {
      this.#writing = null;
      this.#plan();
    }
  }

  async #create(series: Series): Promise<ObjectRef> {
    const { regarding, note } = series;
    const { apiVersion, kind, name, namespace, uid, resourceVersion } = flat(regarding);
    const { controller, instance } = this.#options;
    const metadata = {
      name: `${name.slice(0, 200)}.${this.#ports.random.uuid().replaceAll('-', '').slice(0, 16)}`,
      namespace: namespace ?? 'default',
    };
    await this.#store.create({
      ...EVENT,
      metadata,
      eventTime: formatMicros(series.firstWallMs),
      reportingController: controller,
      reportingInstance: instance.slice(0, 128),
      action: note.action,
      reason: note.reason,
      type: note.type,
      note: note.note,
      regarding: {
        apiVersion,
        kind,
        name,
        ...(namespace === undefined ? {} : { namespace }),
        ...(uid === undefined ? {} : { uid }),
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
      },
      ...(series.count > 1 ? { series: this.#seriesField(series) } : {}),
    });
    return { ...EVENT, ...metadata };
  }

  #seriesField(series: Series): JsonObject {
    return { count: series.count, lastObservedTime: formatMicros(series.lastWallMs) };
  }
}

interface FlatReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
}

function flat(regarding: KubeObject | ObjectRef): FlatReference {
  const { apiVersion, kind } = regarding;
  const source = 'metadata' in regarding ? (regarding as KubeObject).metadata : (regarding as ObjectRef);
  return { apiVersion, kind, ...source };
}

/** Whole objects are not held on to. */
function referenceOnly(regarding: KubeObject | ObjectRef): KubeObject | ObjectRef {
  if (!('metadata' in regarding)) return regarding;
  const { apiVersion, kind, metadata } = regarding as KubeObject;
  const { name, namespace, uid, resourceVersion } = metadata;
  return {
    apiVersion,
    kind,
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
    },
  };
}

function keyOf(regarding: KubeObject | ObjectRef, note: EventNote): string {
  const { apiVersion, kind, namespace, name, uid } = flat(regarding);
  return [apiVersion, kind, namespace ?? '', name, uid ?? '', note.type, note.reason].join('\n');
}
