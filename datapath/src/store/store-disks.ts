// Opens and formats the disks of one store. All of them carry the store's UUID on their heads: disks of different stores are never
// mixed, and a store whose disks are all new becomes a new store.
// Invariant: nothing is written before every disk has been looked at.
import { PfError, errorCodeOf } from '../base/errors.ts';
import { storeUuid as asStoreUuid, type StoreUuid } from '../base/ids.ts';
import type { Disk } from '../world/disk.ts';
import type { World } from '../world/world.ts';
import { DiskStore } from './disk/disk-store.ts';
import { readHead } from './disk/open-disk.ts';

/** blank-only: disks without any content are formatted. never: only ours are opened. force: all are formatted, whatever they hold. */
export type FormatPolicy = 'blank-only' | 'never' | 'force';

export interface DiskSpec {
  readonly path: string;
  /** Files: create or grow to this size. */
  readonly createSizeBytes?: number;
  /** What is on it may be lost: it is formatted, unless it is a disk of this store already. So it is erased once, not at every start. */
  readonly mayErase?: boolean;
}

export class StoreDisks {
  readonly storeUuid: StoreUuid;
  readonly disks: readonly DiskStore[];
  readonly #devices: readonly Disk[];
  readonly #paths: ReadonlyMap<DiskStore, string>;

  private constructor(storeUuid: StoreUuid, disks: readonly DiskStore[], devices: readonly Disk[]) {
    this.storeUuid = storeUuid;
    this.disks = disks;
    this.#devices = devices;
    this.#paths = new Map(disks.map((disk, index) => [disk, devices[index]!.path]));
  }

  /** Errors: INVALID_ARGUMENT (no disk), INVALID_STATE (disks of several stores, or locked), and those of DiskStore. */
  static async open(world: World, specs: readonly DiskSpec[], policy: FormatPolicy): Promise<StoreDisks> {
    if (specs.length === 0) throw new PfError('INVALID_ARGUMENT', 'cannot start a store without a disk: name at least one');
    const devices: Disk[] = [];
    try {
      for (const { path, createSizeBytes } of specs) {
        devices.push(await openDevice(world, path, createSizeBytes));
      }
      const owners: (StoreUuid | null)[] = [];
      for (const device of devices) owners.push(await ownerOf(world, device, policy));
      const mayErase = specs.map((spec) => policy !== 'never' && spec.mayErase === true);
      const known = commonOwner(devices, owners, mayErase);
      const storeUuid = known ?? asStoreUuid(world.random.uuid());
      for (const [index, device] of devices.entries()) {
        if (owners[index] === storeUuid && policy !== 'force') continue;
        await DiskStore.format(world, device, { storeUuid, isForced: policy === 'force' || mayErase[index]! });
        world.log.info('formatted a disk', { disk: device.path, storeUuid });
      }
      const disks: DiskStore[] = [];
      for (const device of devices) disks.push(await DiskStore.open(world, device));
      return new StoreDisks(storeUuid, disks, devices);
    } catch (error) {
      await Promise.all(devices.map((device) => device.close()));
      throw error;
    }
  }

  pathOf(disk: DiskStore): string {
    return this.#paths.get(disk)!;
  }

  async close(): Promise<void> {
    await Promise.all(this.disks.map((disk) => disk.close()));
    await Promise.all(this.#devices.map((device) => device.close()));
  }
}

async function openDevice(world: World, path: string, createSizeBytes: number | undefined): Promise<Disk> {
  try {
    return await world.disks.open(path, createSizeBytes === undefined ? {} : { createSizeBytes });
  } catch (error) {
    if (errorCodeOf(error) !== 'NOT_FOUND' || createSizeBytes !== undefined) throw error;
    const advice = 'name a device or file that exists, or give a size with which to create a file';
    throw new PfError('NOT_FOUND', `cannot open disk "${path}": there is none; ${advice}`, { cause: error });
  }
}

/** The store that a disk belongs to; null when it is to be formatted. */
async function ownerOf(world: World, device: Disk, policy: FormatPolicy): Promise<StoreUuid | null> {
  try {
    return (await readHead(world, device)).storeUuid;
  } catch (error) {
    if (policy === 'force' || (policy === 'blank-only' && errorCodeOf(error) === 'NOT_FOUND')) return null;
    throw error;
  }
}

/** Disks that may be erased have a say only where no other has one: then they are this store's. */
function commonOwner(
  devices: readonly Disk[],
  owners: readonly (StoreUuid | null)[],
  mayErase: readonly boolean[],
): StoreUuid | null {
  const isLasting = (index: number): boolean => owners[index] !== null && mayErase[index] !== true;
  const hasLasting = devices.some((_, index) => isLasting(index));
  let first = -1;
  for (const [index, owner] of owners.entries()) {
    if (owner === null || (hasLasting && !isLasting(index))) continue;
    if (first < 0) first = index;
    if (owner === owners[first]) continue;
    throw new PfError(
      'INVALID_STATE',
      `cannot start a store with disks of two stores: "${devices[first]!.path}" belongs to ${owners[first]}, "${devices[index]!.path}" to ${owner}; ` +
        'start each store with its own disks, or format one of them',
    );
  }
  return first < 0 ? null : owners[first]!;
}
