// What makes the conductor's commands durable and puts them in one order: a port. The conductor sees an Engine only; the embedded
// engine of one member (embedded-engine.ts) is the first implementation, engines of several members satisfy the same contract.

/** A deterministic state machine: the same commands in the same order make the same state everywhere. */
export interface Machine<Command, Result> {
  /** Never throws, whatever the command: a refusal is a result. */
  apply(command: Command, index: number): Result;
  encode(command: Command): Uint8Array;
  /** What was written by an older version must still be readable. Throws CORRUPT when the bytes are none. */
  decode(bytes: Uint8Array): Command;
  snapshot(): Uint8Array;
  restore(snapshot: Uint8Array): void;
}

export interface Engine<Command, Result> {
  /** Only a leader proposes; an engine that is not leader refuses with NOT_READY. */
  readonly isLeader: boolean;
  /** Where the leader is, when another member is: "host:port". */
  readonly leaderHint: string | null;
  /** Index of the last command applied here; the first command has index 1. */
  readonly appliedIndex: number;

  /**
   * Resolves with apply's result when the command is durable and applied here. Commands proposed in one turn are written together and
   * applied in the order of the calls. Errors: NOT_READY (not leader: nothing happened), UNAVAILABLE (leadership or storage lost: the command
   * may or may not survive), CANCELLED (closing).
   */
  propose(command: Command): Promise<Result>;
  /** Called whenever isLeader changes. */
  onRoleChange(listener: (isLeader: boolean) => void): void;
  /** Resolves when the engine cannot go on (its storage failed): the process should end and be restarted. */
  readonly failed: Promise<Error>;
  /** Writes what was proposed, then lets go of the storage. Idempotent. */
  close(): Promise<void>;
}
