// A cluster and one volume for a pinned story: what goes wrong is written out in the test, the rest is as in a seed's run. The story ends
// with everything healed and checked, whatever it did.
import { installThrowingGlobals } from '../../throwing-globals.ts';
import { MiB } from '../../../base/sizes.ts';
import { checkEverything, settle } from '../final-checks.ts';
import type { LoadClient } from '../load-client.ts';
import type { LoadShape } from '../profile.ts';
import { SimCluster } from '../sim-cluster.ts';
import { VolumeUnderLoad } from '../volume-under-load.ts';

export interface StoryShape {
  readonly seed: number;
  readonly storeCount?: number;
  readonly replicaCount?: number;
  readonly sizeBytes?: number;
  readonly diskBytes?: number;
  readonly latencyMs?: number;
  readonly timerLatenessMs?: number;
  readonly hasReplicationNetwork?: boolean;
  readonly load?: Partial<LoadShape>;
}

const LOAD: LoadShape = {
  depth: 8,
  readerCount: 0,
  readerDepth: 2,
  burstRounds: 2,
  requestRate: 100,
  readShare: 0.3,
  trimShare: 0.1,
  zeroShare: 0.05,
  extraRegions: 1,
  connections: 1,
};

export class Story {
  readonly cluster: SimCluster;
  readonly volume: VolumeUnderLoad;
  writer!: LoadClient;

  constructor(shape: StoryShape) {
    this.cluster = new SimCluster(shape.seed, { storeCount: 3, diskBytes: 128 * MiB, ...shape });
    const volume = {
      name: 'story',
      sizeBytes: shape.sizeBytes ?? 64 * MiB,
      shardSizeBytes: 64 * MiB,
      replicaCount: shape.replicaCount ?? 3,
    };
    this.volume = new VolumeUnderLoad(this.cluster, volume, { ...LOAD, ...shape.load });
  }

  /** Lets `ms` of virtual time pass. */
  readonly pass = (ms: number): Promise<void> => {
    const { sim } = this.cluster;
    return sim.run(sim.now + ms);
  };

  write(offset: number, length: number, client = this.writer): Promise<number> {
    return this.cluster.sim.settle(client.write(offset, length));
  }

  read(offset: number, length: number, client = this.writer): Promise<number> {
    return this.cluster.sim.settle(client.read(offset, length));
  }

  trim(offset: number, length: number, client = this.writer): Promise<number> {
    return this.cluster.sim.settle(client.trim(offset, length));
  }
}

/** Starts the cluster, opens the volume with one writer, tells the story, heals, and checks everything. */
export async function tell(
  shape: StoryShape,
  body: (story: Story) => Promise<void>,
  isFailureAllowed?: VolumeUnderLoad['isFailureAllowed'],
): Promise<void> {
  const story = new Story(shape);
  const uninstall = installThrowingGlobals();
  try {
    if (isFailureAllowed !== undefined) story.volume.isFailureAllowed = isFailureAllowed;
    await story.cluster.start();
    await story.cluster.createVolume(story.volume.shape);
    story.writer = await story.volume.opened('writer', false);
    await body(story);
    story.cluster.heal();
    await settle(story.cluster, [story.volume]);
    await checkEverything(story.cluster, [story.volume]);
  } finally {
    uninstall();
  }
}
