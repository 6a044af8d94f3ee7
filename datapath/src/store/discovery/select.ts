// Which of a host's devices a store takes, from what the user asked for. Pure: the operator calls it when it plans and writes the
// refusals into conditions. Invariants: a device that holds something, and is not this store's, is chosen only if it is named or
// matched *and* its erasure is confirmed by its serial number; one that somebody uses now is never chosen.
import { byName, matchesFilter, type DeviceFilter } from './device-match.ts';
import type { Device } from './device.ts';

/** Exactly one of the five is given; the custom resource's schema sees to it. */
export interface DeviceSelector {
  readonly paths?: readonly string[] | undefined;
  /** Names in /dev/disk/by-id, without the folder. */
  readonly byId?: readonly string[] | undefined;
  readonly filter?: DeviceFilter | undefined;
  readonly allUnused?: boolean | undefined;
  readonly files?: readonly { readonly path: string; readonly size: string | number }[] | undefined;
}

export interface DeviceOverride {
  readonly node: string;
  readonly devices?: DeviceSelector | undefined;
  readonly skip?: boolean | undefined;
}

/** `confirmation` is the device's serial number or, where it has none, its path. */
export interface Erasure {
  readonly node: string;
  readonly device: string;
  readonly confirmation: string;
}

/** What select() has to know of a device: whole ones and those of a termination log both have it. */
export type SelectableDevice = Pick<Device, 'path' | 'name' | 'sizeBytes' | 'use' | 'candidate' | 'isInUse'> &
  Partial<Pick<Device, 'links' | 'model' | 'serial' | 'isRotational' | 'usedBy' | 'candidateReason' | 'storeUuid' | 'error'>>;

export interface Selecting {
  /** Name of the node: overrides and erasures of other nodes do not count. */
  readonly node: string;
  readonly devices: readonly SelectableDevice[];
  readonly selector: DeviceSelector;
  readonly overrides?: readonly DeviceOverride[] | undefined;
  readonly erase?: readonly Erasure[] | undefined;
  /** The store that runs on this node, if it ever did: disks of other stores are then foreign. */
  readonly storeUuid?: string | null | undefined;
}

/** blank: to be formatted. store: has our format. erase: to be formatted by force, as confirmed. file: made when it is missing. */
export type ChosenAs = 'blank' | 'store' | 'erase' | 'file';

export interface Chosen {
  readonly path: string;
  readonly as: ChosenAs;
  /** Of a file, as the selector says it. */
  readonly size?: string | number;
}

export interface Refusal {
  /** The device as the user named it, or its path. */
  readonly device: string;
  readonly reason:
    | 'missing'
    | 'not-a-candidate'
    | 'unreadable'
    | 'in-use'
    | 'foreign'
    | 'not-confirmed'
    | 'other-store'
    | 'bad-filter';
  /** A sentence for people: what is wrong, and what to do. */
  readonly message: string;
}

export interface Selection {
  /** An override says: no store on this node. */
  readonly isSkipped: boolean;
  /** In the order in which they were named, else in the order of the devices; each device once. */
  readonly chosen: readonly Chosen[];
  readonly refused: readonly Refusal[];
}

export function select(asked: Selecting): Selection {
  const override = asked.overrides?.find(({ node }) => node === asked.node);
  if (override?.skip === true) return { isSkipped: true, chosen: [], refused: [] };
  const selector = override?.devices ?? asked.selector;
  const picking = new Picking(asked);
  for (const { path, size } of selector.files ?? []) picking.chosen.push({ path, as: 'file', size });
  for (const path of selector.paths ?? []) picking.takeNamed(path, path);
  for (const id of selector.byId ?? []) picking.takeNamed(id, `/dev/disk/by-id/${id}`);
  if (selector.filter !== undefined) picking.takeMatching(selector.filter);
  else if (selector.allUnused === true) picking.takeMatching({});
  return { isSkipped: false, chosen: picking.chosen, refused: picking.refused };
}

type Verdict = { readonly as: ChosenAs } | Omit<Refusal, 'device'>;

class Picking {
  readonly chosen: Chosen[] = [];
  readonly refused: Refusal[] = [];
  readonly #asked: Selecting;
  readonly #storeUuid: string | null;
  readonly #hasSeveralStores: boolean;

  constructor(asked: Selecting) {
    this.#asked = asked;
    const uuids = new Set(asked.devices.filter(({ use }) => use === 'store').map(({ storeUuid }) => storeUuid ?? ''));
    this.#storeUuid = asked.storeUuid ?? null;
    this.#hasSeveralStores = this.#storeUuid === null && uuids.size > 1;
  }

  takeNamed(named: string, path: string): void {
    const device = byName(this.#asked.devices, path);
    if (device === null) {
      const advice = 'the host has no whole device of that name; compare with the devices in the status of its Store';
      this.refused.push({ device: named, reason: 'missing', message: `${named}: ${advice}` });
      return;
    }
    const { candidate, candidateReason } = device;
    if (candidate === 'never') this.#refuse(named, { reason: 'not-a-candidate', message: candidateReason ?? 'cannot be a disk' });
    else this.#settle(named, device, this.#judge(device));
  }

  /** Unasked devices that are not ours for the taking are left out in silence; only what a person has to decide is said. */
  takeMatching(filter: DeviceFilter): void {
    for (const device of this.#asked.devices) {
      if (device.candidate !== 'any') continue;
      const match = matchesFilter(device, filter);
      if (typeof match === 'string') {
        this.#refuse('filter', { reason: 'bad-filter', message: match });
        return;
      }
      if (!match) continue;
      const verdict = this.#judge(device);
      const isSaid =
        'as' in verdict || verdict.reason === 'not-confirmed' || (verdict.reason === 'other-store' && this.#hasSeveralStores);
      if (isSaid || this.#erasureOf(device) !== undefined) this.#settle(device.path, device, verdict);
    }
  }

  #judge(device: SelectableDevice): Verdict {
    if (device.use === 'blank') return { as: 'blank' };
    const holds = device.usedBy ?? device.use;
    if (device.use === 'store') {
      // Without the store's name nothing of ours is ever erased: it may be the very data that is looked for.
      if (this.#storeUuid === null) return this.#hasSeveralStores ? severalStores(holds) : { as: 'store' };
      if (device.storeUuid === this.#storeUuid) return { as: 'store' };
    }
    if (device.error !== undefined && device.error !== null)
      return { reason: 'unreadable', message: `${device.error}: check the device; what cannot be looked at is never erased` };
    if (device.isInUse)
      return { reason: 'in-use', message: `is in use (${holds}): free it first; nothing in use is ever erased` };
    const wanted = device.serial ?? device.path;
    const what = device.serial === undefined || device.serial === null ? 'its path' : 'its serial number';
    const erasure = this.#erasureOf(device);
    if (erasure !== undefined && erasure.confirmation === wanted) return { as: 'erase' };
    if (erasure !== undefined) {
      const message = `holds data (${holds}) and its erasure is confirmed by "${erasure.confirmation}": ${what}, "${wanted}", is wanted`;
      return { reason: 'not-confirmed', message };
    }
    const advice = `add an entry to erase with ${what}, "${wanted}", as confirmation if it may be erased`;
    return { reason: device.use === 'store' ? 'other-store' : 'foreign', message: `holds data (${holds}): ${advice}` };
  }

  #erasureOf(device: SelectableDevice): Erasure | undefined {
    const { node, devices } = this.#asked;
    return this.#asked.erase?.find((each) => each.node === node && byName(devices, each.device) === device);
  }

  #settle(named: string, device: SelectableDevice, verdict: Verdict): void {
    if (!('as' in verdict)) this.#refuse(named, verdict);
    else if (!this.chosen.some(({ path }) => path === device.path)) this.chosen.push({ path: device.path, as: verdict.as });
  }

  #refuse(named: string, { reason, message }: Omit<Refusal, 'device'>): void {
    this.refused.push({ device: named, reason, message: `${named}: ${message}` });
  }
}

function severalStores(holds: string): Omit<Refusal, 'device'> {
  return {
    reason: 'other-store',
    message: `holds data (${holds}), and other disks here are of another store: name those that belong together`,
  };
}
