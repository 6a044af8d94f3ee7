// A request as a store receives it: a StoreCommand whose payload memory belongs to the session that parsed it.
// Made by ServerSession, filled from the frame, submitted to the StoreLink that `authorize` named for the connection;
// the store answers with command.finish(status), once, possibly before submit() returns.
//
// What a handler may rely on: opcode known and allowed on this kind of connection; lengths, alignment and offset + length < 2^53
// checked; the payload of a write is complete and its CRC32C (when FLAG_CRC is set) has been verified; metaVersion is the LOW
// 16 BITS of the sender's. On a replication connection `token` is 0 and sequence and commitMark are set, on a client's the other
// way round. For reads it fills `memory` before it finishes; with FLAG_CRC and payloadCrc set the session does not compute the CRC again.
//
// The payload's slot is counted: the session holds it once, until the reply has left. A handler whose disk write or
// replication still uses `memory` after finish() calls holdPayload() before finish() and dropPayload() when that use has ended.
// At zero the slot and this record go back to their pools: neither may be touched after the last drop.
import { assert } from '../base/assert.ts';
import type { Completion } from '../world/completion.ts';
import { StoreCommand, type CommandOwner } from './command.ts';

export interface ServerCommandOwner extends CommandOwner {
  /** Nobody uses the command or its payload any more. */
  commandFree(command: ServerCommand): void;
}

export class ServerCommand extends StoreCommand implements Completion {
  /** Chosen by the client, echoed in the reply. */
  commandId = 0;
  /** PROTOCOL_V1 commands carry no token and no epoch; see Admission.link for how a store serves them. */
  protocolVersion = 0;
  /** The session's: the arena slot behind `memory` and what it counts for, 0 when the command has no payload. */
  slot = 0;
  slotBytes = 0;
  #session: ServerCommandOwner;
  #holds = 0;
  #isFinished = false;

  constructor(session: ServerCommandOwner) {
    super(session);
    this.#session = session;
  }

  /** The session's own first hold. */
  begin(session: ServerCommandOwner): void {
    assert(this.#holds === 0, 'a command was begun while its payload was still held');
    this.owner = session;
    this.#session = session;
    this.#holds = 1;
    this.#isFinished = false;
  }

  override finish(status: number): void {
    assert(!this.#isFinished, `command ${this.commandId} (opcode ${this.opcode}) was finished twice`);
    this.#isFinished = true;
    super.finish(status);
  }

  holdPayload(): void {
    assert(this.#holds > 0, 'the payload of a free command was held');
    this.#holds += 1;
  }

  /** The stream has let go of the reply's payload. */
  complete(): void {
    this.dropPayload();
  }

  dropPayload(): void {
    assert(this.#holds > 0, 'a payload was dropped more often than it was held');
    this.#holds -= 1;
    if (this.#holds === 0) this.#session.commandFree(this);
  }
}
