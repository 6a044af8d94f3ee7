// Keeps configurations right: plans whenever something may have changed, proposes the plan, and plans again until there is nothing
// left to do. One plan at a time; a plan that the state has overtaken is refused by the reducer and made anew.
import { formatErrorChain } from '../base/errors.ts';
import type { Logger } from '../world/log.ts';
import { planShards, type ShardPlan, type ShardPlanInput } from './plan/shard-plan.ts';
import type { Outcome } from './state/outcome.ts';
import type { Command } from './state/commands.ts';

/** A store's death may touch thousands of shards. */
const MAX_CHANGES_LOGGED = 20;

export interface ReconfigurerOwner {
  readonly log: Logger;
  readonly isLeader: boolean;
  readonly planInput: ShardPlanInput;
  propose(command: Command): Promise<Outcome>;
}

export class Reconfigurer {
  readonly #owner: ReconfigurerOwner;
  #isWanted = false;
  #running: Promise<void> | null = null;
  #isClosed = false;

  constructor(owner: ReconfigurerOwner) {
    this.#owner = owner;
  }

  /** Something that plans depend on has changed. Cheap; many calls in one turn make one plan. */
  wake(): void {
    this.#isWanted = true;
    if (this.#isClosed || this.#running !== null) return;
    this.#running = this.#run().finally(() => {
      this.#running = null;
      if (this.#isWanted) this.wake();
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    // What else happens in this turn belongs to the same plan.
    await Promise.resolve();
    while (this.#isWanted && !this.#isClosed) {
      this.#isWanted = false;
      if (!this.#owner.isLeader) return;
      const plan = planShards(this.#owner.planInput);
      if (plan === null) continue;
      this.#isWanted = await this.#execute(plan);
    }
  }

  /** False when trying again makes no sense before something else changes. */
  async #execute(plan: ShardPlan): Promise<boolean> {
    this.#describe(plan);
    try {
      const outcome = await this.#owner.propose({ kind: 'reconfigure', ...plan });
      if (!outcome.isAccepted) this.#owner.log.info(`a plan was overtaken: ${outcome.reason}`);
      return true;
    } catch (error) {
      this.#owner.log.error(`cannot change configurations: ${formatErrorChain(error)}`);
      return false;
    }
  }

  #describe(plan: ShardPlan): void {
    const { state } = this.#owner.planInput;
    for (const store of plan.stores) {
      this.#owner.log.info(
        `store ${state.storeIdByUuid.get(store.uuid)} on ${store.host} is back as incarnation ${store.incarnation}`,
      );
    }
    if (plan.changes.length > MAX_CHANGES_LOGGED)
      this.#owner.log.info(`${plan.changes.length} shards change; the first ones are:`);
    for (const change of plan.changes.slice(0, MAX_CHANGES_LOGGED)) {
      const name = state.volumes.get(change.volumeId)?.name;
      this.#owner.log.info(
        `shard ${change.shardIndex} of volume ${name}: meta version ${change.metaVersion + 1}, primary ${change.primary}, ${change.statuses.join(' ')}`,
      );
    }
  }
}
