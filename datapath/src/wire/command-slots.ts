// The commands that a client session has sent: a table indexed by command id, with depth entries.
// An entry is over when the reply is complete AND the stream has let go of the payload that it sends in place; only then
// may the submitter reuse the memory.
//
//   free --take()--> sent --reply--> (payload still being sent? waits for `sent`) --> free, owner told
import { assert } from '../base/assert.ts';
import type { Completion } from '../world/completion.ts';
import type { StoreCommand } from './command.ts';

export interface SlotsOwner {
  slotDone(command: StoreCommand, status: number): void;
}

export class CommandSlots {
  readonly depth: number;
  readonly #owner: SlotsOwner;
  readonly #entries: SlotEntry[] = [];
  readonly #free: Uint16Array;
  #freeCount: number;

  constructor(depth: number, owner: SlotsOwner) {
    this.depth = depth;
    this.#owner = owner;
    this.#free = new Uint16Array(depth);
    this.#freeCount = depth;
    for (let id = 0; id < depth; id += 1) {
      this.#free[id] = depth - 1 - id;
      this.#entries.push(new SlotEntry(id, this));
    }
  }

  get inUse(): number {
    return this.depth - this.#freeCount;
  }

  get hasFree(): boolean {
    return this.#freeCount > 0;
  }

  /** The command id. */
  take(command: StoreCommand): number {
    assert(this.#freeCount > 0, 'no command id is free');
    const id = this.#free[--this.#freeCount]!;
    this.#entries[id]!.command = command;
    return id;
  }

  /** To be given to stream.writeOwned for the payload of this command. */
  sendCompletion(id: number): Completion {
    const entry = this.#entries[id]!;
    entry.isSending = true;
    return entry;
  }

  /** The command that waits for a reply under this id, or null. */
  waiting(id: number): StoreCommand | null {
    if (id >= this.depth) return null;
    const entry = this.#entries[id]!;
    return entry.isReplied ? null : entry.command;
  }

  finish(id: number, status: number): void {
    const entry = this.#entries[id]!;
    entry.isReplied = true;
    entry.status = status;
    if (!entry.isSending) this.#release(entry);
  }

  /** Ends everything that has no reply yet. */
  finishAll(status: number): void {
    for (let id = 0; id < this.depth; id += 1) if (this.waiting(id) !== null) this.finish(id, status);
  }

  sendEnded(entry: SlotEntry): void {
    entry.isSending = false;
    if (entry.isReplied) this.#release(entry);
  }

  #release(entry: SlotEntry): void {
    const command = entry.command!;
    entry.command = null;
    entry.isReplied = false;
    this.#free[this.#freeCount++] = entry.id;
    this.#owner.slotDone(command, entry.status);
  }
}

class SlotEntry implements Completion {
  readonly id: number;
  readonly #slots: CommandSlots;
  command: StoreCommand | null = null;
  isSending = false;
  isReplied = false;
  status = 0;

  constructor(id: number, slots: CommandSlots) {
    this.id = id;
    this.#slots = slots;
  }

  /** The payload has left, or never will. */
  complete(): void {
    this.#slots.sendEnded(this);
  }
}
