// An administrator who makes a volume larger and does not give up while the cluster is in trouble. Used by cluster-run.ts and by stories.
import { ConductorClient } from '../../api/conductor-client.ts';
import { errorCodeOf } from '../../base/errors.ts';
import type { World } from '../../world/world.ts';
import type { LoadClient } from './load-client.ts';
import type { VolumeUnderLoad } from './volume-under-load.ts';

const AGAIN_MS = 300;

/** Resizes it until that has succeeded; then its clients are told, and use the new space at once. False: the disks have no room for it. */
export async function growVolume(world: World, volume: VolumeUnderLoad, sizeBytes: number): Promise<boolean> {
  const client = new ConductorClient(world, volume.cluster.conductors);
  volume.expectGrowth(sizeBytes);
  for (;;) {
    try {
      await client.resizeVolume(volume.shape.name, sizeBytes);
      break;
    } catch (error) {
      const code = errorCodeOf(error);
      if (code === 'NO_SPACE') return false;
      if (code !== 'UNAVAILABLE') throw error;
      await world.clock.sleep(AGAIN_MS);
    }
  }
  volume.hasGrown(sizeBytes);
  for (const each of volume.livingClients) each.process.post(0, 'refresh', () => void learnSize(each, sizeBytes));
  return true;
}

async function learnSize(client: LoadClient, sizeBytes: number): Promise<void> {
  const { device } = client;
  // One that is about to open the volume gets the new size with it.
  if (device === null) return;
  while (device.failure === null && device.sizeBytes < sizeBytes) {
    try {
      await device.refresh();
    } catch (error) {
      if (!['UNAVAILABLE', 'FENCED', 'CANCELLED'].includes(errorCodeOf(error))) throw error;
      await client.world.clock.sleep(AGAIN_MS);
    }
  }
}
