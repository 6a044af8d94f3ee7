// What a server offers: a named device, or a way to open one on first use. Given to serveNbd() by who embeds the server;
// ExportShelf keeps which of them are open and closes an opened device when its last connection leaves.
import { PfError, formatErrorChain } from '../base/errors.ts';
import type { BlockDevice } from '../block/device.ts';
import type { Logger } from '../world/log.ts';
import type { ExportDetails, ExportTitle } from './negotiation.ts';
import { CAN_MULTI_CONN, HAS_FLAGS, MAX_PAYLOAD_BYTES, READ_ONLY } from './protocol.ts';
import { SEND_FAST_ZERO, SEND_FLUSH, SEND_FUA, SEND_TRIM, SEND_WRITE_ZEROES } from './protocol.ts';

export interface NbdExport {
  /** At most 4096 bytes of UTF-8 without NUL; "" is the protocol's default export. */
  readonly name: string;
  readonly description?: string;
  /** Stays open and stays the caller's. */
  readonly device?: BlockDevice;
  /** Called when the first client chooses the export; the server closes the device after the last one has left. */
  readonly open?: (name: string) => Promise<BlockDevice>;
}

/** A device in use by a connection; `release` it exactly once. */
export interface ExportLease {
  readonly name: string;
  readonly device: BlockDevice;
  release(): void;
}

export class ExportShelf {
  /** In the order in which they were added. */
  titles: readonly ExportTitle[] = [];
  readonly #places = new Map<string, Place>();
  readonly #log: Logger;

  constructor(log: Logger) {
    this.#log = log;
  }

  add(item: NbdExport): void {
    if (this.#places.has(item.name))
      throw new PfError('ALREADY_EXISTS', `cannot add export "${item.name}": there is one of that name`);
    if ((item.device === undefined) === (item.open === undefined)) {
      throw new PfError('INVALID_ARGUMENT', `cannot add export "${item.name}": give it either a device or a way to open one`);
    }
    this.#places.set(item.name, new Place(item, this.#log));
    this.#refreshTitles();
  }

  /** Null when there is none. Leases that are out stay valid; `settled` waits until the device is closed after the last. */
  remove(name: string): { settled(): Promise<void> } | null {
    const place = this.#places.get(name) ?? null;
    this.#places.delete(name);
    this.#refreshTitles();
    return place === null ? null : { settled: () => place.closing };
  }

  /** By its real name. Errors: NOT_FOUND, and what the export's open() rejects with. */
  async lease(name: string): Promise<ExportLease> {
    const place = this.#places.get(name);
    if (place === undefined) throw new PfError('NOT_FOUND', `there is no export "${name}"`);
    return place.lease();
  }

  /** Waits until every device that open() gave is closed; call when no lease is out. */
  async settled(): Promise<void> {
    for (const place of this.#places.values()) await place.closing;
  }

  #refreshTitles(): void {
    this.titles = [...this.#places.values()].map(({ item }) => ({ name: item.name, description: item.description ?? '' }));
  }
}

class Place {
  readonly item: NbdExport;
  closing: Promise<void> = Promise.resolve();
  #opening: Promise<BlockDevice> | null = null;
  #leaseCount = 0;
  readonly #log: Logger;

  constructor(item: NbdExport, log: Logger) {
    this.item = item;
    this.#log = log;
  }

  async lease(): Promise<ExportLease> {
    this.#leaseCount += 1;
    try {
      const device = await this.#device();
      let isReleased = false;
      const release = (): void => {
        if (!isReleased) this.#release();
        isReleased = true;
      };
      return { name: this.item.name, device, release };
    } catch (error) {
      this.#leaseCount -= 1;
      this.#opening = null;
      throw error;
    }
  }

  #device(): Promise<BlockDevice> {
    const { device, open, name } = this.item;
    if (device !== undefined) return Promise.resolve(device);
    this.#opening ??= this.closing.then(() => open!(name));
    return this.#opening;
  }

  #release(): void {
    this.#leaseCount -= 1;
    if (this.#leaseCount > 0 || this.#opening === null) return;
    const opening = this.#opening;
    this.#opening = null;
    this.closing = opening
      .then((device) => device.close())
      .catch((error: unknown) =>
        this.#log.warn('closing an export failed', { export: this.item.name, error: formatErrorChain(error) }),
      );
  }
}

export function describeDevice(name: string, description: string, device: BlockDevice): ExportDetails {
  return {
    name,
    description,
    sizeBytes: device.sizeBytes,
    flags: transmissionFlagsOf(device),
    minimumBlockBytes: device.minimumIoBytes,
    preferredBlockBytes: Math.max(device.preferredIoBytes, device.minimumIoBytes),
    maximumPayloadBytes: MAX_PAYLOAD_BYTES,
  };
}

/** Without SEND_DF, which depends on what the client negotiated. */
export function transmissionFlagsOf(device: BlockDevice): number {
  let flags = HAS_FLAGS | SEND_FLUSH | SEND_FUA;
  if (device.canMultiConnect) flags |= CAN_MULTI_CONN;
  if (device.isReadOnly) return flags | READ_ONLY;
  flags |= SEND_WRITE_ZEROES;
  if (device.canTrim) flags |= SEND_TRIM;
  if (device.canZeroFast === true) flags |= SEND_FAST_ZERO;
  return flags;
}
