// The Kubernetes API as our programs use it: raw JSON in and out, one deadline for every request, PfErrors (ApiError). Reconcilers hold
// a KubeClient; https-client.ts is the real one, fenced-client.ts lets only the leader write.
// Errors, of every call: NOT_FOUND, ALREADY_EXISTS, STALE (conflict, or an expired resource version), PERMISSION_DENIED, INVALID_ARGUMENT
// (the API server's own words), UNSUPPORTED (the kind is not served: never taken for a missing object), UNAVAILABLE (refused connection, 429, 5xx), CONNECTION_LOST, TIMEOUT,
// PROTOCOL_ERROR, and the signal's reason. Errors carry retryAfterMs when the server asked for a pause.
import type { JsonObject, KubeObject, ObjectRef } from '../api/objects.ts';

export const FIELD_MANAGER = 'pureflash-operator';

export interface Selector {
  /** Absent: all namespaces. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** Default 15 s (a page of a list: 60 s). */
  readonly timeoutMs?: number;
}

export interface ListOptions extends Selector, CallOptions {
  /** Applied to each object as its page arrives, so that what is not wanted is garbage before the next page. */
  readonly keep?: (object: KubeObject) => KubeObject;
}

export interface ObjectList {
  readonly items: KubeObject[];
  readonly resourceVersion: string;
}

export interface DeleteOptions extends CallOptions {
  /** Delete only this incarnation; else STALE. */
  readonly uid?: string;
  readonly resourceVersion?: string;
  /** Default Background: dependents go afterwards. */
  readonly propagation?: 'Background' | 'Foreground' | 'Orphan';
  readonly gracePeriodSeconds?: number;
}

export interface WatchOptions extends Selector {
  readonly resourceVersion: string;
  /** The server ends the watch, cleanly, after this time. */
  readonly timeoutSeconds: number;
  /** A connection that brings nothing for so long is taken for dead: TIMEOUT. */
  readonly inactivityMs: number;
  readonly signal?: AbortSignal;
}

export type WatchEvent =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: KubeObject }
  | { readonly type: 'BOOKMARK'; readonly resourceVersion: string };

export interface KubeClient {
  /** Null when there is no such object. */
  get(ref: ObjectRef, options?: CallOptions): Promise<KubeObject | null>;
  /** The whole list, read in pages of 500. */
  list(apiVersion: string, kind: string, options?: ListOptions): Promise<ObjectList>;
  /**
   * Server-side apply: creates or changes; our fields are ours, also against other managers. What is applied is all that we own: fields
   * left out since the last apply go. `metadata.uid` and `metadata.resourceVersion`, where given, are preconditions (STALE).
   */
  apply(object: KubeObject, options?: CallOptions): Promise<KubeObject>;
  /** The same for the status subresource: reads name, namespace, uid, resourceVersion and status of `object`. */
  applyStatus(object: KubeObject, options?: CallOptions): Promise<KubeObject>;
  create(object: KubeObject, options?: CallOptions): Promise<KubeObject>;
  /** Replaces the object, or one subresource of it ("status", "scale"), if its resourceVersion is still current. */
  update(object: KubeObject, options?: CallOptions & { readonly subresource?: string }): Promise<KubeObject>;
  /** JSON merge patch (RFC 7396). */
  patch(ref: ObjectRef, patch: JsonObject, options?: CallOptions & { readonly subresource?: string }): Promise<KubeObject>;
  /** POST to a subresource: an Eviction to "eviction", a TokenRequest to "token". */
  createSubresource(ref: ObjectRef, subresource: string, body: KubeObject, options?: CallOptions): Promise<KubeObject>;
  /** False when it was not there. An object with finalizers or dependents may stay for a while. */
  delete(ref: ObjectRef, options?: DeleteOptions): Promise<boolean>;
  /** Resolves when the server ends the watch. `onEvent` is called in order and must not throw. */
  watch(apiVersion: string, kind: string, options: WatchOptions, onEvent: (event: WatchEvent) => void): Promise<void>;
  /** By discovery, remembered for a minute (a missing kind for 2 s). */
  hasKind(apiVersion: string, kind: string): Promise<boolean>;
  /** Idempotent; requests under way fail with CANCELLED. */
  close(): void;
}
