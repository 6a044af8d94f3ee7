// The simulated world keeps the same contracts as the real one, whatever the seed.
import { MiB } from '../base/sizes.ts';
import { diskContract } from '../world/testing/disk-contract.ts';
import { filesContract } from '../world/testing/files-contract.ts';
import { httpContract } from '../world/testing/http-contract.ts';
import { memoryContract } from '../world/testing/memory-contract.ts';
import { networkContract } from '../world/testing/network-contract.ts';
import type { World } from '../world/world.ts';
import type { SimHost } from './sim-host.ts';
import { Simulator } from './simulator.ts';

const hosts = new WeakMap<World, SimHost>();
let nextSeed = Number(process.env['SEED'] ?? 1);

/** A world in a universe of its own, which runs until the world is closed. */
async function openWorld(): Promise<World> {
  nextSeed += 1;
  const sim = new Simulator(nextSeed, { memoryBytes: 64 * MiB });
  const host = sim.machine('m');
  const { world } = host.startProcess('test', async () => undefined);
  hosts.set(world, host);
  const stop = sim.runInBackground();
  const close = world.close.bind(world);
  world.close = async () => {
    await close();
    await stop();
  };
  return world;
}

const newPath = (name: string): string => `/run/${name}`;

memoryContract('simulated', openWorld);
diskContract('simulated', openWorld, newPath);
networkContract('simulated', openWorld, newPath);
httpContract('simulated', openWorld);
filesContract('simulated', openWorld, newPath, (world, path, target) => hosts.get(world)!.files.links.set(path, target));
