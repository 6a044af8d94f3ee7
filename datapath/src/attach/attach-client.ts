// pfnbd as its clients on the same node see it: the CSI plugin, command-line tools. One connection a call: pfnbd may be another process
// by the next one.
import type { Json } from '../base/json.ts';
import { askDaemon } from '../daemon/ask-daemon.ts';
import type { World } from '../world/world.ts';
import { PFNBD, type AttachedVolume, type AttachRequest, type WrittenReply } from './model.ts';

export interface AttachCallOptions {
  readonly timeoutMs?: number;
}

/** Opening waits for primaries, and a device for its kernel. */
const SLOW_MS = 60_000;
const QUICK_MS = 10_000;

export class AttachClient {
  readonly #world: World;
  readonly #socketPath: string;

  constructor(world: World, socketPath: string) {
    this.#world = world;
    this.#socketPath = socketPath;
  }

  /**
   * A kernel device with the volume's content. With the same attachment the same device, as often as it is asked for.
   * Errors: FENCED (the attachment is over), INVALID_STATE (an earlier attachment's device is still in use), NOT_FOUND, UNAVAILABLE.
   */
  attach(request: AttachRequest, options: AttachCallOptions = {}): Promise<AttachedVolume> {
    return this.#ask('attach', { ...request }, options.timeoutMs ?? SLOW_MS) as Promise<AttachedVolume>;
  }

  /** Also of a volume that is not attached. Error INVALID_STATE while the device is mounted, or opened by somebody for himself. */
  async detach(volumeName: string, options: AttachCallOptions = {}): Promise<void> {
    await this.#ask('detach', { volume_name: volumeName }, options.timeoutMs ?? SLOW_MS);
  }

  /** The device takes the size that the volume has now. Errors: NOT_FOUND (not attached), UNAVAILABLE. */
  resize(volumeName: string, options: AttachCallOptions = {}): Promise<AttachedVolume> {
    return this.#ask('resize', { volume_name: volumeName }, options.timeoutMs ?? SLOW_MS) as Promise<AttachedVolume>;
  }

  /**
   * Whether any block of the volume holds what somebody has written; zeros count. False: it is as new, or all of it was trimmed.
   * Errors: NOT_FOUND (not attached), UNAVAILABLE, FENCED, UNSUPPORTED (a pfnbd of before this question).
   */
  async isWritten(volumeName: string, options: AttachCallOptions = {}): Promise<boolean> {
    const reply = await this.#ask('is_written', { volume_name: volumeName }, options.timeoutMs ?? SLOW_MS);
    return (reply as WrittenReply).is_written;
  }

  list(options: AttachCallOptions = {}): Promise<readonly AttachedVolume[]> {
    return this.#ask('list', null, options.timeoutMs ?? QUICK_MS) as Promise<readonly AttachedVolume[]>;
  }

  async #ask(operation: string, body: Json, timeoutMs: number): Promise<unknown> {
    const daemon = { name: PFNBD, socketPath: this.#socketPath };
    return (await askDaemon(this.#world, daemon, operation, body, timeoutMs)).body;
  }
}
