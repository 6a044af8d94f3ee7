// The passwords of a cluster's managed MariaDB: generated once, kept in a Secret that nothing changes. Nobody here remembers them; only that
// they are there.
import { errorCodeOf } from '@pureflash/datapath/base';
import type { World } from '@pureflash/datapath/world';
import type { KubeClient } from '../kube/client.ts';
import { serverPasswords, serversName, type ClusterFrame } from '../manifests/builders.ts';

export class ServerPasswords {
  readonly #world: Pick<World, 'random' | 'sha256'>;
  readonly #client: KubeClient;
  /** Uids of clusters that have theirs. */
  readonly #made = new Set<string>();

  constructor(world: Pick<World, 'random' | 'sha256'>, client: KubeClient) {
    this.#world = world;
    this.#client = client;
  }

  /** Servers that were started with passwords keep them: what is there is left as it is. */
  async ensure(frame: ClusterFrame, signal: AbortSignal): Promise<void> {
    if (this.#made.has(frame.uid)) return;
    const ref = { apiVersion: 'v1', kind: 'Secret', namespace: frame.namespace, name: serversName(frame, 'mariadb') };
    if ((await this.#client.get(ref, { signal })) === null) {
      try {
        await this.#client.create(serverPasswords(frame, this.#password), { signal });
      } catch (error) {
        // Another life of this operator has made them meanwhile: those count.
        if (errorCodeOf(error) !== 'ALREADY_EXISTS') throw error;
      }
    }
    this.#made.add(frame.uid);
  }

  /** The cluster is gone. */
  forget(uid: string): void {
    this.#made.delete(uid);
  }

  /** 256 bits of chance in hexadecimal digits: nothing that a script or a statement would have to quote. */
  readonly #password = (): string => {
    const { random, sha256 } = this.#world;
    return sha256(new TextEncoder().encode([random.uuid(), random.uuid(), random.uuid(), random.uuid()].join()));
  };
}
