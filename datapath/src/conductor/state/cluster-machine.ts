// The cluster's state behind an engine: holds the current value, applies commands, tells its observers what changed.
import { assert } from '../../base/assert.ts';
import type { Machine } from '../../consensus/engine.ts';
import { apply } from './apply.ts';
import { EMPTY_STATE, decodeState, encodeState, type ClusterState } from './cluster-state.ts';
import { decodeCommand, encodeCommand, type Command } from './commands.ts';
import type { Outcome } from './outcome.ts';

/** Called after every accepted command, with the state before and after it. */
export type StateObserver = (before: ClusterState, after: ClusterState, command: Command) => void;

export class ClusterMachine implements Machine<Command, Outcome> {
  #state: ClusterState = EMPTY_STATE;
  #observer: StateObserver | null = null;

  get state(): ClusterState {
    return this.#state;
  }

  /** One observer, set once the log has been replayed. */
  observe(observer: StateObserver): void {
    assert(this.#observer === null, 'the cluster state is observed already');
    this.#observer = observer;
  }

  apply(command: Command): Outcome {
    const before = this.#state;
    const { state, outcome } = apply(before, command);
    this.#state = state;
    if (outcome.isAccepted) this.#observer?.(before, state, command);
    return outcome;
  }

  encode(command: Command): Uint8Array {
    return encodeCommand(command);
  }

  decode(bytes: Uint8Array): Command {
    return decodeCommand(bytes);
  }

  snapshot(): Uint8Array {
    return encodeState(this.#state);
  }

  restore(snapshot: Uint8Array): void {
    this.#state = decodeState(snapshot);
  }
}
