// A store without disks, for tests of sessions and volume clients: a StoreLink over a sparse map of 4 KiB blocks that answers at
// once, or when the test lets it. Puts nothing between a command and its answer that a test did not ask for.
import { BLOCK_BYTES } from '../../base/sizes.ts';
import type { IoMemory } from '../../world/memory.ts';
import type { StoreCommand, StoreLink } from '../command.ts';
import {
  OP_QUERY_WRITTEN,
  OP_READ,
  OP_READ_REPLICA,
  OP_REPLICATE_TRIM,
  OP_REPLICATE_WRITE,
  OP_TRIM,
  OP_WRITE,
  OP_WRITE_ZEROES,
} from '../messages.ts';
import { STATUS_OK } from '../status.ts';

/** What a command looked like when it was submitted: records are pooled and change afterwards. */
export interface SeenCommand {
  readonly opcode: number;
  readonly flags: number;
  readonly volumeId: number;
  readonly offset: number;
  readonly length: number;
  readonly metaVersion: number;
  readonly attachEpoch: number;
  readonly token: number;
  readonly sequence: number;
  readonly commitMark: number;
  readonly commandSequence: number;
}

export class MemoryStore implements StoreLink {
  isUp = true;
  readonly seen: SeenCommand[] = [];
  readonly held: StoreCommand[] = [];
  /** Keep commands instead of executing them, until release(). */
  isHolding = false;
  /** Executes commands some other time, as a disk does. */
  later: ((execute: () => void) => void) | null = null;
  /** Most commands that were held or in execution at once. */
  mostHeld = 0;
  /** The status with which to refuse a command, or STATUS_OK to execute it. May set replyMetaVersion. */
  judge: (command: StoreCommand) => number = () => STATUS_OK;
  readonly #memory: IoMemory;
  readonly #blocks: Map<number, Uint8Array>;

  /** `blocks` may be shared by the replicas of a fake cluster. */
  constructor(memory: IoMemory, blocks: Map<number, Uint8Array> = new Map()) {
    this.#memory = memory;
    this.#blocks = blocks;
  }

  get blockCount(): number {
    return this.#blocks.size;
  }

  submit(command: StoreCommand): void {
    const { opcode, flags, volumeId, offset, length, metaVersion, attachEpoch, token, sequence, commitMark, commandSequence } =
      command;
    this.seen.push({
      opcode,
      flags,
      volumeId,
      offset,
      length,
      metaVersion,
      attachEpoch,
      token,
      sequence,
      commitMark,
      commandSequence,
    });
    if (this.later !== null) return this.later(() => this.execute(command));
    if (!this.isHolding) return this.execute(command);
    this.held.push(command);
    this.mostHeld = Math.max(this.mostHeld, this.held.length);
  }

  /** Executes what is held, the newest first when asked. */
  release(isReversed = false): void {
    const commands = this.held.splice(0);
    if (isReversed) commands.reverse();
    for (const command of commands) this.execute(command);
  }

  execute(command: StoreCommand): void {
    const status = this.judge(command);
    if (status === STATUS_OK) this.#apply(command);
    command.finish(status);
  }

  #apply(command: StoreCommand): void {
    const { opcode, offset, length, memory } = command;
    if (opcode === OP_WRITE || opcode === OP_REPLICATE_WRITE) this.#write(offset, length, memory);
    else if (opcode === OP_READ || opcode === OP_READ_REPLICA) this.#read(offset, length, memory);
    else if (opcode === OP_TRIM || opcode === OP_WRITE_ZEROES || opcode === OP_REPLICATE_TRIM) this.#zero(offset, length);
    else if (opcode === OP_QUERY_WRITTEN) this.#query(offset, length, memory);
  }

  #write(offset: number, length: number, memory: number): void {
    for (let at = 0; at < length; ) {
      const block = Math.floor((offset + at) / BLOCK_BYTES);
      const inside = (offset + at) % BLOCK_BYTES;
      const piece = Math.min(length - at, BLOCK_BYTES - inside);
      let bytes = this.#blocks.get(block);
      if (bytes === undefined) this.#blocks.set(block, (bytes = new Uint8Array(BLOCK_BYTES)));
      bytes.set(this.#memory.bytes.subarray(memory + at, memory + at + piece), inside);
      at += piece;
    }
  }

  #read(offset: number, length: number, memory: number): void {
    for (let at = 0; at < length; ) {
      const block = Math.floor((offset + at) / BLOCK_BYTES);
      const inside = (offset + at) % BLOCK_BYTES;
      const piece = Math.min(length - at, BLOCK_BYTES - inside);
      const bytes = this.#blocks.get(block);
      if (bytes === undefined) this.#memory.bytes.fill(0, memory + at, memory + at + piece);
      else this.#memory.bytes.set(bytes.subarray(inside, inside + piece), memory + at);
      at += piece;
    }
  }

  #zero(offset: number, length: number): void {
    for (const block of [...this.#blocks.keys()]) {
      const from = Math.max(offset, block * BLOCK_BYTES);
      const to = Math.min(offset + length, (block + 1) * BLOCK_BYTES);
      if (from >= to) continue;
      if (to - from === BLOCK_BYTES) this.#blocks.delete(block);
      else this.#blocks.get(block)!.fill(0, from - block * BLOCK_BYTES, to - block * BLOCK_BYTES);
    }
  }

  #query(offset: number, length: number, memory: number): void {
    const first = offset / BLOCK_BYTES;
    const count = length / BLOCK_BYTES;
    this.#memory.bytes.fill(0, memory, memory + Math.ceil(count / 8));
    for (const block of this.#blocks.keys()) {
      const index = block - first;
      if (index >= 0 && index < count) this.#memory.bytes[memory + (index >> 3)]! |= 1 << (index & 7);
    }
  }
}
