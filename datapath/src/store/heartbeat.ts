// Tells the conductor every 600 ms that this store lives, under a random incarnation of this process, and learns the store's id
// and the cluster's token. While there is nothing new to tell it sends the short heartbeat, which costs the conductor half as much.
// docs/internals/replication.md section 6. A conductor that cannot be reached stops nothing here.
import { errorCodeOf, formatErrorChain } from '../base/errors.ts';
import type { ConductorClient } from '../api/conductor-client.ts';
import type { HeartbeatReply, HeartbeatRequest } from '../api/model.ts';
import type { Timer } from '../world/clock.ts';
import type { World } from '../world/world.ts';

export const HEARTBEAT_MS = 600;

/** What a store says of itself. */
export type Description = Omit<HeartbeatRequest, 'report'>;

export class Heartbeat {
  readonly #world: World;
  readonly #conductor: ConductorClient;
  readonly #describe: () => Description;
  readonly #onAnswer: (reply: HeartbeatReply) => void;
  readonly #timer: Timer;
  readonly #closed = new AbortController();
  #running: Promise<void> | null = null;
  #hasComplained = false;
  /** Full heartbeats so far. */
  #reports = 0;
  /** The full heartbeat that the conductor took last: its content as JSON, its number, and the store id that was answered. */
  #taken: { readonly content: string; readonly report: number; readonly storeId: number } | null = null;
  #registered!: () => void;
  /** The conductor has answered once. */
  readonly registered = new Promise<void>((resolve) => (this.#registered = resolve));

  constructor(world: World, conductor: ConductorClient, describe: () => Description, onAnswer: (reply: HeartbeatReply) => void) {
    this.#world = world;
    this.#conductor = conductor;
    this.#describe = describe;
    this.#onAnswer = onAnswer;
    this.#timer = world.clock.every(HEARTBEAT_MS, () => this.#beat());
    this.#beat();
  }

  async close(): Promise<void> {
    this.#timer.cancel();
    this.#closed.abort();
    await this.#running;
  }

  #beat(): void {
    this.#running ??= this.#post().finally(() => (this.#running = null));
  }

  async #post(): Promise<void> {
    try {
      await this.#tell(this.#describe());
      this.#hasComplained = false;
      this.#registered();
    } catch (error) {
      if (this.#closed.signal.aborted || this.#hasComplained) return;
      this.#hasComplained = true;
      this.#world.log.warn('no conductor takes our heartbeat; trying on', { error: formatErrorChain(error) });
    }
  }

  async #tell(description: Description): Promise<void> {
    const content = JSON.stringify(description);
    const { incarnation } = description;
    const { signal } = this.#closed;
    if (this.#taken?.content === content) {
      const { storeId, report } = this.#taken;
      try {
        return await this.#conductor.stillAlive(storeId, { incarnation, report }, { signal });
      } catch (error) {
        this.#taken = null;
        // It was restarted, has taken this store for dead, or has heard something else; or it is an older one, which knows no short heartbeat.
        if (!['NOT_FOUND', 'UNSUPPORTED'].includes(errorCodeOf(error))) throw error;
      }
    }
    this.#taken = null;
    this.#reports += 1;
    const report = this.#reports;
    const reply = await this.#conductor.heartbeat({ ...description, report }, { signal });
    this.#taken = { content, report, storeId: reply.store_id };
    this.#onAnswer(reply);
  }
}
