// The kernel's end of a FUSE connection, for tests of the server: hands over requests as runs of bytes and keeps the replies. No code
// of the server's codec is used, so that a mistake there is not made twice.
import { crc32c } from '../../../base/crc32c.ts';
import type { BlockDevice } from '../../../block/device.ts';
import { Arena } from '../../../world/arena.ts';
import type { Completion } from '../../../world/completion.ts';
import type { FuseChannel, FuseHandler } from '../../../world/fuse.ts';
import { TurnQueue } from '../../../world/turn-queue.ts';
import { FuseServer } from '../fuse-server.ts';

export const MiB = 1024 * 1024;
const PAYLOAD_AT = 80;

export interface FuseReply {
  readonly unique: bigint;
  readonly error: number;
  readonly body: Buffer;
}

export class ScriptedFuse implements FuseChannel {
  readonly turn = new TurnQueue(() => {});
  readonly memory = new Arena(new ArrayBuffer(16 * MiB), crc32c, this.turn);
  readonly server: FuseServer;
  readonly replies: FuseReply[] = [];
  isPaused = false;
  hasEnded = false;
  isClosed = false;
  #handler: FuseHandler | null = null;
  #sent: Completion[] = [];
  #unique = 2n;

  constructor(makeDevice: (memory: Arena) => BlockDevice) {
    this.server = new FuseServer(this.memory, this, makeDevice(this.memory), {
      fileName: 'v1.disk',
      onEnded: () => (this.hasEnded = true),
    });
    this.server.start();
  }

  start(handler: FuseHandler): void {
    this.#handler = handler;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  send(memoryOffset: number, length: number, done: Completion): void {
    const bytes = Buffer.from(this.memory.bytes.slice(memoryOffset, memoryOffset + length));
    if (bytes.readUInt32LE(0) !== length) throw new Error(`a reply of ${length} bytes says ${bytes.readUInt32LE(0)}`);
    this.replies.push({ error: bytes.readInt32LE(4), unique: bytes.readBigUInt64LE(8), body: bytes.subarray(16) });
    this.#sent.push(done);
  }

  async stop(): Promise<void> {}

  async close(): Promise<void> {
    this.isClosed = true;
  }

  /** Replies have left; the turn ends. */
  settle(): void {
    for (let round = 0; round < 8; round += 1) {
      for (const done of this.#sent.splice(0)) done.complete(0);
      this.turn.run();
    }
  }

  /** Hands over these bytes as the kernel does. */
  deliver(bytes: Buffer): void {
    const slot = this.memory.acquireSlot(MiB);
    if (slot === 0) throw new Error('no slot for a request: the server keeps too many');
    this.memory.bytes.set(bytes, slot - PAYLOAD_AT);
    if (!this.#handler!.takeRequest(slot, bytes.length)) this.memory.releaseSlot(slot);
  }

  /** One request and its only reply, with everything settled. */
  ask(opcode: number, nodeId: number, body: Buffer): FuseReply {
    const unique = (this.#unique += 2n);
    this.replies.length = 0;
    this.deliver(fuseRequest(opcode, unique, nodeId, body));
    this.settle();
    if (this.replies.length !== 1) throw new Error(`${this.replies.length} replies to one request`);
    if (this.replies[0]!.unique !== unique) throw new Error(`a reply to ${this.replies[0]!.unique}, not to ${unique}`);
    return this.replies[0]!;
  }
}

export function fuseRequest(opcode: number, unique: bigint, nodeId: number, body: Buffer): Buffer {
  const head = Buffer.alloc(40);
  head.writeUInt32LE(40 + body.length, 0);
  head.writeUInt32LE(opcode, 4);
  head.writeBigUInt64LE(unique, 8);
  head.writeBigUInt64LE(BigInt(nodeId), 16);
  return Buffer.concat([head, body]);
}

/** The body of READ and READDIR, and the start of WRITE's. */
export function ioBody(offset: number | bigint, size: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const body = Buffer.alloc(40);
  body.writeBigUInt64LE(BigInt(offset), 8);
  body.writeUInt32LE(size, 16);
  return Buffer.concat([body, payload]);
}

export function fallocateBody(offset: number, length: number, mode: number): Buffer {
  const body = Buffer.alloc(32);
  body.writeBigUInt64LE(BigInt(offset), 8);
  body.writeBigUInt64LE(BigInt(length), 16);
  body.writeUInt32LE(mode, 24);
  return body;
}

export function initBody(major: number, minor: number, flags: number, flags2: number): Buffer {
  const body = Buffer.alloc(64);
  [major, minor, 131072, flags >>> 0, flags2].forEach((word, index) => body.writeUInt32LE(word, index * 4));
  return body;
}
