// The volumes of clusters as their conductors list them: asked once for all resources of a cluster, every few seconds, and told to those
// whose volume has changed. So hundreds of quiet volumes cost one request and no reconcile.
import { ConductorClient } from '@pureflash/datapath/api';
import { formatErrorChain } from '@pureflash/datapath/base';
import type { Timer, World } from '@pureflash/datapath/world';
import type { VolumeFacts } from './plan-volume.ts';

const PERIOD_MS = 5_000;
/** Between two questions that nobody answers. */
const LONGEST_PERIOD_MS = 30_000;
const PATIENCE_MS = 2_000;

type Listing = ReadonlyMap<string, VolumeFacts>;

/** How a cluster's conductors are reached. */
export interface Conductors {
  readonly addresses: readonly string[];
  readonly token: string | null;
}

interface Followed {
  conductors: Conductors;
  /** Null: nobody answered, or nobody has been asked yet. */
  listing: Listing | null;
  asking: Promise<void> | null;
  timer: Timer | null;
  periodMs: number;
}

export class VolumeFeed {
  readonly #world: Pick<World, 'http' | 'clock' | 'random' | 'log'>;
  /** A volume of the cluster has changed, or is new or gone; null: any of them, since the conductor came or went. */
  readonly #changed: (cluster: string, volume: string | null) => void;
  readonly #clusters = new Map<string, Followed>();
  #isClosed = false;

  constructor(
    world: Pick<World, 'http' | 'clock' | 'random' | 'log'>,
    changed: (cluster: string, volume: string | null) => void,
  ) {
    this.#world = world;
    this.#changed = changed;
  }

  client({ addresses, token }: Conductors): ConductorClient {
    return new ConductorClient(this.#world, addresses, { unreachableMs: PATIENCE_MS, ...(token === null ? {} : { token }) });
  }

  /** What is known; asks first when nothing is. Null: no conductor answers. */
  async listing(cluster: string, conductors: Conductors): Promise<Listing | null> {
    const followed = this.#clusters.get(cluster) ?? { conductors, listing: null, asking: null, timer: null, periodMs: PERIOD_MS };
    followed.conductors = conductors;
    if (!this.#clusters.has(cluster)) {
      this.#clusters.set(cluster, followed);
      await this.#ask(cluster, followed);
    }
    return followed.listing;
  }

  /** After a change of our own: asked again at once. */
  async refresh(cluster: string): Promise<void> {
    const followed = this.#clusters.get(cluster);
    if (followed === undefined) return;
    await followed.asking;
    await this.#ask(cluster, followed);
  }

  /** The cluster has no resources any more. */
  forget(cluster: string): void {
    this.#clusters.get(cluster)?.timer?.cancel();
    this.#clusters.delete(cluster);
  }

  close(): void {
    this.#isClosed = true;
    for (const cluster of [...this.#clusters.keys()]) this.forget(cluster);
  }

  #ask(cluster: string, followed: Followed): Promise<void> {
    followed.timer?.cancel();
    followed.asking ??= this.#read(cluster, followed).finally(() => {
      followed.asking = null;
      if (this.#isClosed || this.#clusters.get(cluster) !== followed) return;
      followed.timer = this.#world.clock.after(followed.periodMs, () => void this.#ask(cluster, followed));
    });
    return followed.asking;
  }

  async #read(cluster: string, followed: Followed): Promise<void> {
    const before = followed.listing;
    try {
      const volumes = await this.client(followed.conductors).listVolume({ deadlineMs: PATIENCE_MS });
      followed.listing = new Map(
        volumes.map((volume) => [
          volume.name,
          {
            id: volume.id,
            sizeBytes: volume.size,
            replicas: volume.rep_count,
            health: volume.status,
            attachedTo: volume.attached_to,
          },
        ]),
      );
    } catch (error) {
      if (before !== null) this.#world.log.info(`no conductor of ${cluster} lists its volumes: ${formatErrorChain(error)}`);
      followed.listing = null;
    }
    const after = followed.listing;
    followed.periodMs = after === null ? Math.min(LONGEST_PERIOD_MS, 2 * followed.periodMs) : PERIOD_MS;
    if ((before === null) !== (after === null)) return this.#changed(cluster, null);
    if (before === null || after === null) return;
    for (const name of new Set([...before.keys(), ...after.keys()])) {
      if (!isSame(before.get(name), after.get(name))) this.#changed(cluster, name);
    }
  }
}

function isSame(a: VolumeFacts | undefined, b: VolumeFacts | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.id === b.id && a.sizeBytes === b.sizeBytes && a.health === b.health && a.attachedTo === b.attachedTo;
}
