// The token of each cluster's HTTP APIs: generated once, kept in a Secret, remembered here. The operator reads the Secrets that it knows by
// name and lists none.
import { errorCodeOf } from '@pureflash/datapath/base';
import type { World } from '@pureflash/datapath/world';
import type { KubeClient } from '../kube/client.ts';
import { apiToken, tokenName, type ClusterFrame } from '../manifests/builders.ts';

type Named = Pick<ClusterFrame, 'name' | 'namespace' | 'uid' | 'hash'>;

export class ApiTokens {
  readonly #world: Pick<World, 'random' | 'sha256'>;
  readonly #client: KubeClient;
  /** By the cluster's uid. */
  readonly #known = new Map<string, string>();

  constructor(world: Pick<World, 'random' | 'sha256'>, client: KubeClient) {
    this.#world = world;
    this.#client = client;
  }

  /** Null: the cluster has none yet. */
  async get(cluster: Named, signal: AbortSignal): Promise<string | null> {
    const known = this.#known.get(cluster.uid);
    if (known !== undefined) return known;
    const ref = { apiVersion: 'v1', kind: 'Secret', namespace: cluster.namespace, name: tokenName(cluster) };
    const secret = await this.#client.get(ref, { signal });
    const encoded = (secret?.['data'] as { token?: string } | undefined)?.token;
    if (encoded === undefined) return null;
    const token = atob(encoded);
    this.#known.set(cluster.uid, token);
    return token;
  }

  /** The one that is there, or a new one: 256 bits of chance. */
  async ensure(frame: ClusterFrame, signal: AbortSignal): Promise<string> {
    const there = await this.get(frame, signal);
    if (there !== null) return there;
    const { random, sha256 } = this.#world;
    const token = sha256(new TextEncoder().encode([random.uuid(), random.uuid(), random.uuid(), random.uuid()].join()));
    try {
      await this.#client.create(apiToken(frame, token), { signal });
    } catch (error) {
      // Another life of this operator has made it meanwhile: that one counts.
      if (errorCodeOf(error) !== 'ALREADY_EXISTS') throw error;
    }
    return (await this.get(frame, signal)) ?? token;
  }

  /** The cluster is gone. */
  forget(uid: string): void {
    this.#known.delete(uid);
  }
}
