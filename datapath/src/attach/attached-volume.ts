// One volume that this node has attached: opened at its cluster, mapped into the kernel. Made and kept by AttachService, which calls one
// method at a time.
//
//   attach(): opening --> probed --> mapped: SERVING --detach()--> gone
//                                      ^ |
//   takeUp(): STARTING --opened, adopted-' '-- fenced meanwhile: OVER
//               '---- the attachment is over: adopted with a device that fails every request: OVER --detach()--> gone
import { PfError, errorCodeOf, formatErrorChain } from '../base/errors.ts';
import type { BlockDevice } from '../block/device.ts';
import type { World } from '../world/world.ts';
import type { AttachmentRecord } from './attachment-records.ts';
import { FailedDevice } from './failed-device.ts';
import type { Mapper, Mapping } from './mapper.ts';
import type { AttachedState, AttachedVolume as Listed, AttachRequest } from './model.ts';
import { probe } from './probe.ts';

/** An open volume, as VolumeDevice is one. */
export interface OpenedVolume extends BlockDevice {
  /** Why every request fails from now on, or null. */
  readonly failure: PfError | null;
  /** Asks the cluster for the volume's size. */
  refresh(): Promise<number>;
}

export interface Surroundings {
  readonly world: World;
  /** Fences what an earlier process of this node still sends. Errors: FENCED, NOT_FOUND, UNAVAILABLE. */
  readonly openVolume: (request: AttachRequest) => Promise<OpenedVolume>;
  /** What the kernel device is called: never twice the same, so that no attachment gets the device of another one. */
  readonly mappingName: (request: AttachRequest) => string;
}

const PROBE_MS = 10_000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;
/** The cluster will not say otherwise when it is asked again. */
const FINAL: ReadonlySet<string> = new Set(['FENCED', 'NOT_FOUND']);

export class AttachedVolume {
  readonly request: AttachRequest;
  readonly mapper: Mapper;
  readonly #around: Surroundings;
  #device: OpenedVolume | FailedDevice | null = null;
  #mapping: Mapping | null = null;

  constructor(around: Surroundings, mapper: Mapper, request: AttachRequest) {
    this.#around = around;
    this.mapper = mapper;
    this.request = request;
  }

  get state(): AttachedState {
    if (this.#device === null || this.#mapping === null) return 'STARTING';
    return this.#device instanceof FailedDevice || this.#device.failure !== null ? 'OVER' : 'SERVING';
  }

  get sizeBytes(): number {
    return this.#mapping?.sizeBytes ?? 0;
  }

  listed(): Listed {
    const { mapper, sizeBytes, state } = this;
    return { ...this.request, device: this.#mapping?.devicePath ?? '', size: sizeBytes, mapper: mapper.kind, state };
  }

  /** Opens, probes and maps. After an error nothing is left of it. */
  async attach(): Promise<void> {
    const { world, openVolume } = this.#around;
    const device = await openVolume(this.request);
    try {
      await probe(world, device, `volume "${this.request.volume_name}"`, PROBE_MS);
      this.#mapping = await this.#map(device);
      this.#device = device;
    } catch (error) {
      await device.close();
      throw error;
    }
  }

  /** As an earlier process left it. False: there is no device any more. Goes on until cluster and kernel answer, or the signal ends it. */
  async takeUp(record: AttachmentRecord, signal: AbortSignal): Promise<boolean> {
    const device = (await this.#reopen(signal)) ?? new FailedDevice(record.size, record.read_only);
    const mapping = await this.#again('taken up by the kernel', signal, () => this.mapper.adopt({ name: this.#name, device }));
    if (mapping === null) {
      await device.close();
      return false;
    }
    this.#device = device;
    this.#mapping = mapping;
    await this.#catchUpWithSize(device, mapping);
    return true;
  }

  /** Takes over the volume's size. Errors: UNAVAILABLE, FENCED. */
  async resize(): Promise<void> {
    if (this.state !== 'SERVING') throw this.#notServing('resize');
    await (this.#device as OpenedVolume).refresh();
    if (this.#device!.sizeBytes > this.#mapping!.sizeBytes) await this.#mapping!.resize();
  }

  /** Error INVALID_STATE while the kernel device is in use. */
  async detach(): Promise<void> {
    if (this.#device === null) throw this.#notServing('detach');
    await this.#mapping?.unmap();
    this.#mapping = null;
    await this.#device.close();
  }

  /** Leaves the kernel device to the next process. */
  async handOver(): Promise<void> {
    await this.#mapping?.handOver();
    await this.#device?.close();
  }

  get #name(): string {
    return this.#around.mappingName(this.request);
  }

  async #map(device: BlockDevice): Promise<Mapping> {
    try {
      return await this.mapper.map({ name: this.#name, device });
    } catch (error) {
      if (errorCodeOf(error) !== 'ALREADY_EXISTS') throw error;
    }
    // Left by a process that died between the kernel's answer and its own record.
    const mapping = await this.mapper.adopt({ name: this.#name, device });
    return mapping ?? this.mapper.map({ name: this.#name, device });
  }

  /** Null: the attachment is over. */
  #reopen(signal: AbortSignal): Promise<OpenedVolume | null> {
    return this.#again('opened', signal, async () => {
      try {
        return await this.#around.openVolume(this.request);
      } catch (error) {
        if (!FINAL.has(errorCodeOf(error))) throw error;
        const { volume_name: volume } = this.request;
        this.#around.world.log.error('an attached volume is lost to this node', { volume, error: formatErrorChain(error) });
        return null;
      }
    });
  }

  /** Its requests wait in the kernel: nothing is given up that may yet succeed. */
  async #again<T>(what: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const { world } = this.#around;
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
      try {
        return await work();
      } catch (error) {
        signal.throwIfAborted();
        world.log.warn(`an attached volume cannot be ${what} yet`, {
          volume: this.request.volume_name,
          error: formatErrorChain(error),
        });
      }
      await world.clock.sleep(pauseMs, signal);
    }
  }

  /** The volume may have grown while nobody served it. Not vital: the next resize() does it too. */
  async #catchUpWithSize(device: BlockDevice, mapping: Mapping): Promise<void> {
    if (device.sizeBytes <= mapping.sizeBytes || device instanceof FailedDevice) return;
    await mapping.resize().catch((error: unknown) => {
      this.#around.world.log.warn('a device could not be resized', {
        volume: this.request.volume_name,
        error: formatErrorChain(error),
      });
    });
  }

  #notServing(action: string): PfError {
    const { volume_name, attachment } = this.request;
    if (this.state === 'STARTING')
      return new PfError(
        'UNAVAILABLE',
        `cannot ${action} volume "${volume_name}" yet: its cluster has not answered since pfnbd was started; try again`,
      );
    return new PfError(
      'FENCED',
      `cannot ${action} volume "${volume_name}": attachment ${attachment} is over; detach it here and attach it again`,
    );
  }
}
