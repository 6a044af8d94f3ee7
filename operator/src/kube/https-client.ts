// The real KubeClient. JSON goes in and out as it is: typed serializers of the client libraries drop fields that they do not know.
// Opened by kube-world.ts; proved against a real API server in e2e/operator.
import { errorCodeOf, type PfError } from '@pureflash/datapath/base';
import type { Clock, Logger } from '@pureflash/datapath/world';
import { describe, refOf, type JsonObject, type KubeObject, type ObjectRef } from '../api/objects.ts';
import { ApiError, refusal } from './api-error.ts';
import { ApiTransport, type ApiAnswer, type ApiCall } from './api-transport.ts';
import { FIELD_MANAGER, type CallOptions, type DeleteOptions, type KubeClient, type ListOptions } from './client.ts';
import type { ObjectList, Selector, WatchEvent, WatchOptions } from './client.ts';
import type { ApiLocation } from './credentials.ts';
import { JsonLines } from './json-lines.ts';
import { ResourceMap, type ResourceInfo } from './resource-map.ts';

const REQUEST_MS = 15_000;
const LIST_PAGE_MS = 60_000;
const PAGE_SIZE = 500;
const MERGE_PATCH = 'application/merge-patch+json';
const APPLY_PATCH = 'application/apply-patch+yaml';
const WARNINGS_MAX = 200;

export interface HttpsKubeClientOptions {
  readonly location: ApiLocation;
  readonly clock: Clock;
  readonly log: Logger;
  /** Default FIELD_MANAGER. */
  readonly fieldManager?: string;
  /** What the API server does about fields it does not know. Default Warn: logged, and dropped, so that older clusters work. */
  readonly fieldValidation?: 'Strict' | 'Warn';
}

export class HttpsKubeClient implements KubeClient {
  readonly #transport: ApiTransport;
  readonly #resources: ResourceMap;
  readonly #log: Logger;
  readonly #writeQuery: string;
  readonly #warned = new Set<string>();

  constructor(options: HttpsKubeClientOptions) {
    this.#transport = new ApiTransport(options.location, options.clock);
    this.#resources = new ResourceMap(options.clock, (path) => this.#fetchResources(path));
    this.#log = options.log;
    const manager = encodeURIComponent(options.fieldManager ?? FIELD_MANAGER);
    this.#writeQuery = `fieldManager=${manager}&fieldValidation=${options.fieldValidation ?? 'Warn'}`;
  }

  get requestsSent(): number {
    return this.#transport.requestsSent;
  }

  async get(ref: ObjectRef, options: CallOptions = {}): Promise<KubeObject | null> {
    try {
      const path = await this.#resources.objectPath(ref);
      return await this.#object('GET', path, null, { action: `get ${describe(ref)}`, apiVersion: ref.apiVersion, options });
    } catch (error) {
      if (errorCodeOf(error) === 'NOT_FOUND') return null;
      throw error;
    }
  }

  async list(apiVersion: string, kind: string, options: ListOptions = {}): Promise<ObjectList> {
    try {
      return await this.#listPages(apiVersion, kind, options, PAGE_SIZE);
    } catch (error) {
      // The snapshot behind the pages went away while we read it: once more, in one piece.
      if (error instanceof ApiError && error.isExpired) return await this.#listPages(apiVersion, kind, options, 0);
      throw error;
    }
  }

  async apply(object: KubeObject, options: CallOptions = {}): Promise<KubeObject> {
    const ref = refOf(object);
    const path = await this.#resources.objectPath(ref);
    const { managedFields: _, ...metadata } = object.metadata as KubeObject['metadata'] & { managedFields?: unknown };
    const call = { action: `apply ${describe(ref)}`, apiVersion: ref.apiVersion, options, contentType: APPLY_PATCH };
    return await this.#object('PATCH', `${path}?${this.#writeQuery}&force=true`, { ...object, metadata }, call);
  }

  async applyStatus(object: KubeObject, options: CallOptions = {}): Promise<KubeObject> {
    const ref = refOf(object);
    const path = await this.#resources.objectPath(ref);
    const { uid, resourceVersion } = object.metadata;
    const metadata = {
      name: ref.name,
      ...(ref.namespace === undefined ? {} : { namespace: ref.namespace }),
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
    };
    const body = { apiVersion: ref.apiVersion, kind: ref.kind, metadata, status: object['status'] };
    const call = { action: `apply status of ${describe(ref)}`, apiVersion: ref.apiVersion, options, contentType: APPLY_PATCH };
    return await this.#object('PATCH', `${path}/status?${this.#writeQuery}&force=true`, body, call);
  }

  async create(object: KubeObject, options: CallOptions = {}): Promise<KubeObject> {
    const ref = refOf(object);
    const path = (await this.#resources.objectPath(ref)).replace(/\/[^/]*$/, '');
    return await this.#object('POST', `${path}?${this.#writeQuery}`, object, {
      action: `create ${describe(ref)}`,
      apiVersion: ref.apiVersion,
      options,
    });
  }

  async update(object: KubeObject, options: CallOptions & { readonly subresource?: string } = {}): Promise<KubeObject> {
    const ref = refOf(object);
    const path = await this.#resources.objectPath(ref);
    const action = `update ${subject(ref, options.subresource)}`;
    return await this.#object('PUT', `${path}${tail(options.subresource)}?${this.#writeQuery}`, object, {
      action,
      apiVersion: ref.apiVersion,
      options,
    });
  }

  async patch(
    ref: ObjectRef,
    patch: JsonObject,
    options: CallOptions & { readonly subresource?: string } = {},
  ): Promise<KubeObject> {
    const path = await this.#resources.objectPath(ref);
    const action = `patch ${subject(ref, options.subresource)}`;
    return await this.#object('PATCH', `${path}${tail(options.subresource)}?${this.#writeQuery}`, patch, {
      action,
      apiVersion: ref.apiVersion,
      options,
      contentType: MERGE_PATCH,
    });
  }

  async createSubresource(ref: ObjectRef, subresource: string, body: KubeObject, options: CallOptions = {}): Promise<KubeObject> {
    const path = await this.#resources.objectPath(ref);
    const action = `create ${subject(ref, subresource)}`;
    return await this.#object('POST', `${path}${tail(subresource)}?${this.#writeQuery}`, body, {
      action,
      apiVersion: ref.apiVersion,
      options,
    });
  }

  async delete(ref: ObjectRef, options: DeleteOptions = {}): Promise<boolean> {
    const { uid, resourceVersion, propagation, gracePeriodSeconds } = options;
    const preconditions = {
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
    };
    const body = {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      propagationPolicy: propagation ?? 'Background',
      ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
      ...(Object.keys(preconditions).length === 0 ? {} : { preconditions }),
    };
    try {
      const path = await this.#resources.objectPath(ref);
      await this.#object('DELETE', path, body, { action: `delete ${describe(ref)}`, apiVersion: ref.apiVersion, options });
      return true;
    } catch (error) {
      if (errorCodeOf(error) === 'NOT_FOUND') return false;
      throw error;
    }
  }

  async watch(apiVersion: string, kind: string, options: WatchOptions, onEvent: (event: WatchEvent) => void): Promise<void> {
    const path = await this.#resources.collectionPath(apiVersion, kind, options.namespace);
    const query = selectorQuery(options);
    query.set('watch', 'true');
    query.set('allowWatchBookmarks', 'true');
    query.set('resourceVersion', options.resourceVersion);
    query.set('timeoutSeconds', String(Math.ceil(options.timeoutSeconds)));
    const action = `watch ${apiVersion} ${kind}`;
    const lines = new JsonLines((line) => onEvent(readEvent(action, apiVersion, kind, line)));
    const answer = await this.#transport.stream({
      target: `${path}?${query.toString()}`,
      action,
      timeoutMs: REQUEST_MS,
      inactivityMs: options.inactivityMs,
      onChunk: (chunk) => lines.push(chunk),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    if (answer.status !== 200) this.#refuse(action, apiVersion, answer);
    lines.end();
  }

  hasKind(apiVersion: string, kind: string): Promise<boolean> {
    return this.#resources.hasKind(apiVersion, kind);
  }

  close(): void {
    this.#transport.close();
  }

  async #listPages(apiVersion: string, kind: string, options: ListOptions, pageSize: number): Promise<ObjectList> {
    const path = await this.#resources.collectionPath(apiVersion, kind, options.namespace);
    const query = selectorQuery(options);
    if (pageSize > 0) query.set('limit', String(pageSize));
    const action = `list ${apiVersion} ${kind}`;
    const items: KubeObject[] = [];
    while (true) {
      const target = query.size === 0 ? path : `${path}?${query.toString()}`;
      const answer = await this.#send('GET', target, null, { action, apiVersion, options, timeoutMs: LIST_PAGE_MS });
      const page = parseObject(action, answer.body) as unknown as ListPage;
      if (!Array.isArray(page.items) || typeof page.metadata?.resourceVersion !== 'string') throw malformed(action, 'no list');
      for (const item of page.items) {
        const object = withKind(item, apiVersion, kind);
        items.push(options.keep === undefined ? object : options.keep(object));
      }
      const next = page.metadata.continue ?? '';
      if (next === '') return { items, resourceVersion: page.metadata.resourceVersion };
      query.set('continue', next);
    }
  }

  async #object(method: ApiCall['method'], target: string, body: unknown, call: Call): Promise<KubeObject> {
    const answer = await this.#send(method, target, body, call);
    return withoutManagers(parseObject(call.action, answer.body) as unknown as KubeObject);
  }

  async #send(method: ApiCall['method'], target: string, body: unknown, call: Call): Promise<ApiAnswer> {
    const { action, options } = call;
    const answer = await this.#transport.request({
      method,
      target,
      action,
      timeoutMs: options.timeoutMs ?? call.timeoutMs ?? REQUEST_MS,
      ...(body === null ? {} : { body: JSON.stringify(body) }),
      ...(call.contentType === undefined ? {} : { contentType: call.contentType }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    this.#logWarnings(action, answer);
    if (answer.status < 200 || answer.status > 299) this.#refuse(action, call.apiVersion, answer);
    return answer;
  }

  #refuse(action: string, apiVersion: string, answer: ApiAnswer): never {
    const error = refusal(action, answer.status, answer.body.toString('utf8'), answer.headers['retry-after']);
    if (error.code === 'UNSUPPORTED') this.#resources.forget(apiVersion);
    throw error;
  }

  /** The server's own warnings (deprecated versions, unknown fields): each text once. */
  #logWarnings(action: string, answer: ApiAnswer): void {
    const header = answer.headers['warning'];
    if (header === undefined) return;
    for (const [, text = ''] of String(header).matchAll(/299 \S+ "((?:[^"\\]|\\.)*)"/g)) {
      if (this.#warned.has(text) || this.#warned.size >= WARNINGS_MAX) continue;
      this.#warned.add(text);
      this.#log.warn(`the API server warns: ${text}`, { action });
    }
  }

  async #fetchResources(path: string): Promise<ReadonlyMap<string, ResourceInfo> | null> {
    const action = `discover ${path}`;
    const answer = await this.#transport.request({ method: 'GET', target: path, action, timeoutMs: REQUEST_MS });
    if (answer.status === 404) return null;
    if (answer.status !== 200) throw refusal(action, answer.status, answer.body.toString('utf8'), answer.headers['retry-after']);
    const { resources } = parseObject(action, answer.body);
    if (!Array.isArray(resources)) throw malformed(action, 'no list of resources');
    const kinds = new Map<string, ResourceInfo>();
    for (const { name, kind, namespaced } of resources as { name: string; kind: string; namespaced: boolean }[]) {
      if (!name.includes('/')) kinds.set(kind, { plural: name, isNamespaced: namespaced });
    }
    return kinds;
  }
}

interface Call {
  readonly action: string;
  readonly apiVersion: string;
  readonly options: CallOptions;
  readonly contentType?: string;
  readonly timeoutMs?: number;
}

interface ListPage {
  readonly items: readonly KubeObject[];
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
}

function selectorQuery(selector: Selector): URLSearchParams {
  const query = new URLSearchParams();
  if (selector.labelSelector !== undefined && selector.labelSelector !== '') query.set('labelSelector', selector.labelSelector);
  if (selector.fieldSelector !== undefined && selector.fieldSelector !== '') query.set('fieldSelector', selector.fieldSelector);
  return query;
}

function readEvent(action: string, apiVersion: string, kind: string, line: Readonly<Record<string, unknown>>): WatchEvent {
  const { type } = line;
  const object = line['object'] as KubeObject | undefined;
  if (typeof object !== 'object' || object === null) throw malformed(action, `an event "${String(type)}" without an object`);
  if (type === 'ERROR') {
    const code = object['code'];
    throw refusal(action, typeof code === 'number' ? code : 500, JSON.stringify(object), undefined);
  }
  const resourceVersion = object.metadata?.resourceVersion;
  if (typeof resourceVersion !== 'string') throw malformed(action, `an event "${String(type)}" without a resource version`);
  if (type === 'BOOKMARK') return { type, resourceVersion };
  if (type !== 'ADDED' && type !== 'MODIFIED' && type !== 'DELETED') throw malformed(action, `an event "${String(type)}"`);
  return { type, object: withKind(object, apiVersion, kind) };
}

/** Items of lists come without their kind. */
function withKind(object: KubeObject, apiVersion: string, kind: string): KubeObject {
  if (typeof object.metadata?.name !== 'string') throw malformed(`read ${apiVersion} ${kind}`, 'an object without a name');
  return withoutManagers({ ...object, apiVersion, kind });
}

/** Often the larger half of an object, and of no use to us. */
function withoutManagers(object: KubeObject): KubeObject {
  if (object.metadata !== undefined) delete (object.metadata as { managedFields?: unknown }).managedFields;
  return object;
}

function parseObject(action: string, body: Buffer): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch (cause) {
    throw malformed(action, `${body.length} bytes that are no JSON`, cause);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed(action, 'no JSON object');
  return value as Record<string, unknown>;
}

function malformed(action: string, what: string, cause?: unknown): PfError {
  const details = { httpStatus: 200, reason: '', causes: [], cause };
  return new ApiError('PROTOCOL_ERROR', `cannot ${action}: the API server answered with ${what}`, details);
}

const subject = (ref: ObjectRef, subresource: string | undefined): string =>
  subresource === undefined ? describe(ref) : `${subresource} of ${describe(ref)}`;
const tail = (subresource: string | undefined): string => (subresource === undefined ? '' : `/${subresource}`);
