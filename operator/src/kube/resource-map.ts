// Kinds to paths: asks the API server once per group and version which resources it serves. Known kinds are remembered for a minute, and a
// missing one for two seconds only: a CustomResourceDefinition that was just applied should be usable at once.
// Called by HttpsKubeClient.
import { PfError } from '@pureflash/datapath/base';
import type { Clock } from '@pureflash/datapath/world';
import type { ObjectRef } from '../api/objects.ts';

export interface ResourceInfo {
  readonly plural: string;
  readonly isNamespaced: boolean;
}

/** Kinds of one apiVersion; null when the API server does not serve it. */
export type FetchResources = (path: string) => Promise<ReadonlyMap<string, ResourceInfo> | null>;

interface Remembered {
  readonly at: number;
  readonly kinds: ReadonlyMap<string, ResourceInfo>;
}

const KNOWN_MS = 60_000;
const MISSING_MS = 2_000;

export class ResourceMap {
  readonly #clock: Clock;
  readonly #fetch: FetchResources;
  readonly #remembered = new Map<string, Remembered>();
  readonly #asking = new Map<string, Promise<Remembered>>();

  constructor(clock: Clock, fetch: FetchResources) {
    this.#clock = clock;
    this.#fetch = fetch;
  }

  async hasKind(apiVersion: string, kind: string): Promise<boolean> {
    return (await this.#find(apiVersion, kind, KNOWN_MS)) !== null;
  }

  /** A path once known stays in use; `forget` it when the API server does not know it any more. Error: UNSUPPORTED. */
  async collectionPath(apiVersion: string, kind: string, namespace: string | undefined): Promise<string> {
    const info = await this.#find(apiVersion, kind, Number.POSITIVE_INFINITY);
    if (info === null) {
      throw new PfError(
        'UNSUPPORTED',
        `the API server has no kind ${kind} in ${apiVersion}; install its CustomResourceDefinition`,
      );
    }
    const scope = info.isNamespaced && namespace !== undefined ? `/namespaces/${encodeURIComponent(namespace)}` : '';
    return `${versionPath(apiVersion)}${scope}/${info.plural}`;
  }

  /** Error: also INVALID_ARGUMENT when a namespaced kind comes without its namespace. */
  async objectPath(ref: ObjectRef): Promise<string> {
    const info = await this.#find(ref.apiVersion, ref.kind, Number.POSITIVE_INFINITY);
    if (info !== null && info.isNamespaced && (ref.namespace ?? '') === '') {
      throw new PfError('INVALID_ARGUMENT', `${ref.apiVersion} ${ref.kind} "${ref.name}" needs a namespace`);
    }
    return `${await this.collectionPath(ref.apiVersion, ref.kind, ref.namespace)}/${encodeURIComponent(ref.name)}`;
  }

  forget(apiVersion: string): void {
    this.#remembered.delete(apiVersion);
  }

  async #find(apiVersion: string, kind: string, maxAgeMs: number): Promise<ResourceInfo | null> {
    const known = this.#remembered.get(apiVersion);
    const ageMs = known === undefined ? Number.POSITIVE_INFINITY : this.#clock.now() - known.at;
    if (known !== undefined && ageMs < (known.kinds.has(kind) ? maxAgeMs : MISSING_MS)) return known.kinds.get(kind) ?? null;
    return (await this.#ask(apiVersion)).kinds.get(kind) ?? null;
  }

  #ask(apiVersion: string): Promise<Remembered> {
    const running = this.#asking.get(apiVersion);
    if (running !== undefined) return running;
    const asking = this.#fetch(versionPath(apiVersion))
      .then((kinds) => {
        const fresh = { at: this.#clock.now(), kinds: kinds ?? new Map() };
        this.#remembered.set(apiVersion, fresh);
        return fresh;
      })
      .finally(() => this.#asking.delete(apiVersion));
    this.#asking.set(apiVersion, asking);
    return asking;
  }
}

function versionPath(apiVersion: string): string {
  return apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
}
