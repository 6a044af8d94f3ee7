// One volume that this node has attached: opened at its cluster, mapped into the kernel. Made and kept by AttachService, which calls one
// method at a time.
//
//   attach(): opening --> probed --> mapped: SERVING --detach()--> gone
//                                      ^ |
//   takeUp(): STARTING --opened, adopted-' '-- fenced meanwhile, or found to be over by AttachmentWatch: OVER
//               '---- the attachment is over: adopted with a device that fails every request: OVER --detach()--> gone
import { MAX_VOLUME_BYTES } from '../api/bodies.ts';
import { PfError, errorCodeOf, formatErrorChain } from '../base/errors.ts';
import { GiB } from '../base/sizes.ts';
import type { BlockDevice } from '../block/device.ts';
import type { World } from '../world/world.ts';
import { FailedDevice } from './failed-device.ts';
import type { Mapper, Mapping } from './mapper.ts';
import type { AttachedState, AttachedVolume as Listed, AttachRequest } from './model.ts';
import { probe } from './probe.ts';

/** An open volume, as VolumeDevice is one. */
export interface OpenedVolume extends BlockDevice {
  /** Why every request fails from now on, or null. */
  readonly failure: PfError | null;
  /** With which it was opened; the cluster's is never smaller. */
  readonly attachEpoch: number;
  /** Asks the cluster for the volume's size. */
  refresh(): Promise<number>;
  /** Every request fails from now on, also those that are out. */
  fail(reason: PfError): void;
}

export interface Surroundings {
  readonly world: World;
  /** Fences what an earlier process of this node still sends. Errors: FENCED, NOT_FOUND, UNAVAILABLE. */
  readonly openVolume: (request: AttachRequest, signal: AbortSignal) => Promise<OpenedVolume>;
  /** What the kernel device is called: never twice the same, so that no attachment gets the device of another one. */
  readonly mappingName: (request: AttachRequest) => string;
}

const PROBE_MS = 10_000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;
/** The cluster will not say otherwise when it is asked again. */
const FINAL: ReadonlySet<string> = new Set(['FENCED', 'NOT_FOUND']);
/** Of a question about what is written: so much at a time, so that a volume with data at its beginning answers at once. */
const WRITTEN_STEP_BYTES = 16 * GiB;

export class AttachedVolume {
  readonly mapper: Mapper;
  #request: AttachRequest;
  readonly #around: Surroundings;
  #device: OpenedVolume | null = null;
  #mapping: Mapping | null = null;
  /** About its record, for as long as this process serves it. */
  readonly #noted: string | null;
  #problem: string | null;

  /** `problem`: of a volume whose record was lost, and with it whether it writes; found out when it is taken up. */
  constructor(around: Surroundings, mapper: Mapper, request: AttachRequest, problem: string | null = null) {
    this.#around = around;
    this.mapper = mapper;
    this.#request = request;
    this.#noted = problem;
    this.#problem = problem;
  }

  get request(): AttachRequest {
    return this.#request;
  }

  get state(): AttachedState {
    if (this.#device === null || this.#mapping === null) return 'STARTING';
    return this.#device.failure !== null ? 'OVER' : 'SERVING';
  }

  /** 0 unless it is open. */
  get attachEpoch(): number {
    return this.#device?.attachEpoch ?? 0;
  }

  get sizeBytes(): number {
    return this.#mapping?.sizeBytes ?? 0;
  }

  listed(): Listed {
    const { mapper, sizeBytes, state } = this;
    const device = this.#mapping?.devicePath ?? '';
    const problem = this.#device?.failure?.message ?? this.#problem;
    return { ...this.request, device, size: sizeBytes, mapper: mapper.kind, state, ...(problem === null ? {} : { problem }) };
  }

  /** Opens, probes and maps. After an error nothing is left of it. */
  async attach(signal: AbortSignal): Promise<void> {
    const { world, openVolume } = this.#around;
    const device = await openVolume(this.request, signal);
    try {
      await probe(world, device, { what: `volume "${this.request.volume_name}"`, timeoutMs: PROBE_MS, signal });
      this.#mapping = await this.#map(device);
      this.#device = device;
    } catch (error) {
      device.fail(new PfError('CANCELLED', 'it could not be attached'));
      await device.close();
      throw error;
    }
  }

  /** As an earlier process left it, with that size if it was known (else 0). False: there is no device any more. Goes on until cluster and kernel answer, or the signal ends it. */
  async takeUp(sizeBytes: number, signal: AbortSignal): Promise<boolean> {
    const opened = await this.#reopen(signal);
    // A device that ends too early would be read as zeros behind its end.
    const failedBytes = sizeBytes === 0 ? MAX_VOLUME_BYTES : sizeBytes;
    const device = opened instanceof PfError ? new FailedDevice(opened, failedBytes, this.request.read_only) : opened;
    const mapping = await this.#again('taken up by the kernel', signal, () => this.mapper.adopt({ name: this.#name, device }));
    if (mapping === null) {
      await device.close();
      return false;
    }
    this.#device = device;
    this.#mapping = mapping;
    this.#problem = this.#noted;
    await this.#catchUpWithSize(device, mapping);
    return true;
  }

  /** Takes over the volume's size. Errors: UNAVAILABLE, FENCED. */
  async resize(): Promise<void> {
    if (this.state !== 'SERVING') throw this.#notServing('resize');
    await this.#device!.refresh();
    if (this.#device!.sizeBytes > this.#mapping!.sizeBytes) await this.#mapping!.resize();
  }

  /** Whether any block of it holds what was written. Errors: UNAVAILABLE, FENCED, IO_ERROR. */
  async isWritten(): Promise<boolean> {
    if (this.state !== 'SERVING') throw this.#notServing('look into');
    const device = this.#device!;
    for (let at = 0; at < device.sizeBytes; at += WRITTEN_STEP_BYTES) {
      const extents = await device.extents(at, Math.min(WRITTEN_STEP_BYTES, device.sizeBytes - at));
      if (extents.some((extent) => extent.isAllocated && !extent.isZero)) return true;
    }
    return false;
  }

  /** The attachment has been taken from this node: every request fails from now on. */
  lose(reason: PfError): void {
    this.#device?.fail(reason);
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
    // Nobody takes answers any more: the kernel asks the next process again.
    this.#device?.fail(new PfError('CANCELLED', 'it is handed over'));
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

  /** An error: why the attachment is over. */
  #reopen(signal: AbortSignal): Promise<OpenedVolume | PfError> {
    return this.#again('opened', signal, async () => {
      try {
        return await this.#around.openVolume(this.request, signal);
      } catch (error) {
        if (!(error instanceof PfError) || !FINAL.has(error.code)) throw error;
        if (this.#noted !== null && error.code === 'FENCED' && !this.request.read_only) {
          // A reader's attachment opens nothing for writing.
          const asReader = await this.#openAsReader(signal);
          if (asReader !== null) return asReader;
        }
        const { volume_name: volume } = this.request;
        this.#around.world.log.error('an attached volume is lost to this node', { volume, error: formatErrorChain(error) });
        return error;
      }
    });
  }

  /** Null: it is no reader's either. */
  async #openAsReader(signal: AbortSignal): Promise<OpenedVolume | null> {
    const asReader = { ...this.request, read_only: true };
    try {
      const opened = await this.#around.openVolume(asReader, signal);
      this.#request = asReader;
      return opened;
    } catch (error) {
      if (!FINAL.has(errorCodeOf(error))) throw error;
      return null;
    }
  }

  /** Its requests wait in the kernel: nothing is given up that may yet succeed. */
  async #again<T>(what: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const { world } = this.#around;
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
      try {
        return await work();
      } catch (error) {
        signal.throwIfAborted();
        this.#problem = `it cannot be ${what} yet: ${formatErrorChain(error)}`;
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
    if (device.sizeBytes <= mapping.sizeBytes || this.state !== 'SERVING') return;
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
