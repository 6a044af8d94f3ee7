// Opens the real API server for bin/operator.ts, the command line and tests: where it is, who we are, a client, and the watches on it.
import { hostname } from 'node:os';
import type { Clock, Logger, Random } from '@pureflash/datapath/world';
import type { KubeClient } from './client.ts';
import { locateApi, type LocateOptions } from './credentials.ts';
import { HttpsKubeClient } from './https-client.ts';
import { ListWatch, type ListWatchOptions } from './watch.ts';

export interface KubeWorld {
  readonly client: KubeClient;
  /** The namespace of our pod, or of the kubeconfig's context. */
  readonly namespace: string;
  /** Names this process and no other, also after a restart under the same host name: for the Lease and for events. */
  readonly identity: string;
  readonly server: string;
  /** One cache for each distinct set of options' apiVersion, kind and selectors is the caller's concern; `close` closes them all. */
  watch(options: ListWatchOptions): ListWatch;
  close(): Promise<void>;
}

export interface KubePorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export async function openKube(
  ports: KubePorts,
  options: LocateOptions & { readonly fieldValidation?: 'Strict' | 'Warn' } = {},
): Promise<KubeWorld> {
  const location = await locateApi(options);
  const { clock, random, log } = ports;
  const { fieldValidation } = options;
  const client = new HttpsKubeClient({ location, clock, log, ...(fieldValidation === undefined ? {} : { fieldValidation }) });
  const watches: ListWatch[] = [];
  return {
    client,
    namespace: location.namespace,
    identity: `${hostname()}_${random.uuid()}`,
    server: location.url.href,
    watch(watchOptions) {
      const watch = new ListWatch(client, ports, watchOptions);
      watches.push(watch);
      return watch;
    },
    async close() {
      const closing = watches.splice(0).map((watch) => watch.close());
      client.close();
      await Promise.all(closing);
    },
  };
}
