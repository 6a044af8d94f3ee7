// Learns that attachments of this node are over although nobody reads or writes: asks the conductor for the volumes that are served here, all
// at once, every few seconds while there are any. Made by AttachService.
//
// What ends an attachment is an answer that has the volume without its number, and nothing else. Silence, refusals, an answer without the
// volume (a conductor whose disk was lost), and one that shows an older attach epoch than ours (a conductor put back to an earlier state)
// end none; the stores fence a writer in any case.
import type { VolumeInfo } from '../api/model.ts';
import { PfError } from '../base/errors.ts';
import type { World } from '../world/world.ts';
import type { AttachedVolume } from './attached-volume.ts';

/** With ASK_MS and a slow answer still below 10 s from the end of an attachment to its errors here. */
const PERIOD_MS = 5_000;
const ASK_MS = 3_000;

export type ListedVolume = Pick<VolumeInfo, 'name' | 'attach_epoch' | 'attachments'>;

export interface WatchOptions {
  /** Those of these names that there are. */
  readonly getVolumes: (
    names: readonly string[],
    options: { readonly deadlineMs: number; readonly signal: AbortSignal },
  ) => Promise<readonly ListedVolume[]>;
  /** Those of this node. */
  readonly attached: () => Iterable<AttachedVolume>;
  readonly signal: AbortSignal;
}

export class AttachmentWatch {
  readonly #world: World;
  readonly #options: WatchOptions;
  #isRunning = false;

  constructor(world: World, options: WatchOptions) {
    this.#world = world;
    this.#options = options;
  }

  /** Something is served from now on. */
  wake(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    void this.#run();
  }

  async #run(): Promise<void> {
    const { signal } = this.#options;
    while (!signal.aborted && this.#served().length > 0) {
      await this.#world.clock.sleep(PERIOD_MS, signal).catch(() => {}); // Aborted: the loop ends.
      const served = this.#served();
      if (signal.aborted || served.length === 0) continue;
      const volumes = await this.#ask(served.map((volume) => volume.request.volume_name));
      // Those that came while the conductor answered are too new for this answer.
      if (volumes !== null) for (const volume of served) this.#judge(volume, volumes.get(volume.request.volume_name));
    }
    this.#isRunning = false;
  }

  #served(): readonly AttachedVolume[] {
    return [...this.#options.attached()].filter(({ state }) => state === 'SERVING');
  }

  /** Null: no answer. That the conductor is silent is said by who announces the node. */
  async #ask(names: readonly string[]): Promise<ReadonlyMap<string, ListedVolume> | null> {
    const { getVolumes, signal } = this.#options;
    try {
      const volumes = await getVolumes(names, { deadlineMs: ASK_MS, signal });
      return new Map(volumes.map((volume) => [volume.name, volume]));
    } catch {
      return null;
    }
  }

  #judge(volume: AttachedVolume, listed: ListedVolume | undefined): void {
    const { volume_name: name, attachment } = volume.request;
    if (volume.state !== 'SERVING' || listed === undefined || listed.attach_epoch < volume.attachEpoch) return;
    if (listed.attachments.some((each) => each.attachment === attachment)) return;
    const others = listed.attachments.map(({ client }) => `"${client}"`).join(', ');
    const now = others === '' ? 'nobody has it attached now' : `now it is attached to ${others}`;
    const reason = `attachment ${attachment} of volume "${name}" to this node is over (${now}): every request fails; unmount it and detach it here, and attach it again where it is wanted`;
    this.#world.log.error('an attached volume is lost to this node', { volume: name, error: reason });
    volume.lose(new PfError('FENCED', reason));
  }
}
