// One mapping: a server, its connection and the loop device over its file. Made by FuseMapper.
import type { BlockDevice } from '../../block/device.ts';
import { PfError } from '../../base/errors.ts';
import type { LoopDevice } from '../../world/loop-devices.ts';
import type { World } from '../../world/world.ts';
import type { Mapping } from '../mapper.ts';
import type { FuseServer } from './fuse-server.ts';

export type MappingWorld = Pick<World, 'clock' | 'log'> & Required<Pick<World, 'fuse' | 'loopDevices'>>;

export interface MappingParts {
  readonly name: string;
  readonly device: BlockDevice;
  readonly server: FuseServer;
  readonly loop: LoopDevice;
  /** Where this process sees the file under it. */
  readonly filePath: string;
  /** How long handOver() waits for the BlockDevice. */
  readonly drainMs: number;
  /** Everything but the loop device: file system, holder, record. */
  readonly removeRest: () => Promise<void>;
  /** It is no longer served here. */
  readonly onLeft: () => void;
}

export class FuseMapping implements Mapping {
  readonly devicePath: string;
  sizeBytes: number;
  readonly #world: MappingWorld;
  readonly #parts: MappingParts;
  #state: 'served' | 'left' = 'served';
  /** One change at a time. */
  #change: Promise<void> = Promise.resolve();

  constructor(world: MappingWorld, parts: MappingParts) {
    this.#world = world;
    this.#parts = parts;
    this.devicePath = parts.loop.path;
    this.sizeBytes = parts.loop.sizeBytes;
  }

  resize(): Promise<void> {
    return this.#inTurn(async () => {
      this.#checkServed('resize');
      const { device, loop, filePath, server } = this.#parts;
      if (device.sizeBytes <= this.sizeBytes) return;
      await server.forgetSize();
      this.sizeBytes = await this.#world.loopDevices.takeSize(loop, filePath);
    });
  }

  unmap(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#state === 'left') return;
      // Dying after this line leaves a file system without a device, which adopt() and reap() remove.
      await this.#world.loopDevices.detach(this.#parts.loop);
      this.#state = 'left';
      await this.#parts.removeRest();
      this.#parts.onLeft();
    });
  }

  handOver(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#state === 'left') return;
      this.#state = 'left';
      const { server, drainMs, name } = this.#parts;
      const patience = Promise.withResolvers<string>();
      const timer = this.#world.clock.after(drainMs, () => patience.resolve('late'));
      if ((await Promise.race([server.drain(), patience.promise])) === 'late') {
        this.#world.log.warn(
          `requests of ${this.devicePath} (${name}) are unanswered after ${drainMs} ms: the next server gets them again`,
        );
      }
      timer.cancel();
      await server.close();
      this.#parts.onLeft();
    });
  }

  #inTurn(change: () => Promise<void>): Promise<void> {
    const result = this.#change.then(change);
    this.#change = result.catch(() => {});
    return result;
  }

  #checkServed(action: string): void {
    if (this.#state === 'served') return;
    throw new PfError('INVALID_STATE', `cannot ${action} ${this.devicePath}: it is unmapped or handed over`);
  }
}
