// nbd-serve with a store in its own process, and how the device that it serves is opened then.
import { formatHostPort } from '../api/host-port.ts';
import { errorCodeOf } from '../base/errors.ts';
import { openBlockSource, type BlockSource, type BlockSourceOptions } from '../cli/block-sources.ts';
import { parseDiskFlag } from '../cli/disk-flag.ts';
import type { NbdServeFlags } from '../cli/nbd-serve-command.ts';
import { startStore, type Store } from '../store/store.ts';
import type { World } from '../world/world.ts';

/** How long a volume may take to appear at a conductor that knows the store in this process. */
const VOLUME_PATIENCE_MS = 60_000;

export async function startOwnStore(world: World, flags: NbdServeFlags, conductors: readonly string[]): Promise<Store> {
  const store = await startStore(world, {
    disks: flags.storeDisk.map(parseDiskFlag),
    host: flags.storeHost,
    dataAddress: formatHostPort(flags.storeData.host, flags.storeData.port),
    httpAddress: formatHostPort(flags.storeHttp.host, flags.storeHttp.port),
    conductors,
    format: 'blank-only',
  });
  await store.registered;
  return store;
}

/** With a store of our own the volume may still have to be created: it needs that store. */
export async function openSource(
  world: World,
  name: string,
  options: BlockSourceOptions,
  store: Store | null,
): Promise<BlockSource> {
  if (store === null) return openBlockSource(world, name, options);
  const deadline = world.clock.now() + VOLUME_PATIENCE_MS;
  for (;;) {
    try {
      return await openBlockSource(world, name, { ...options, localLink: { storeId: store.storeId, link: store.link } });
    } catch (error) {
      if (errorCodeOf(error) !== 'NOT_FOUND' || world.clock.now() >= deadline) throw error;
    }
    await world.clock.sleep(100);
  }
}
