// A client of our own that knows exactly what was acknowledged: it speaks NBD over a unix socket (a few dozen lines of raw protocol,
// so that it shares no code with the server), keeps 32 writes in flight, and fills each 4 KiB block with its block number and a rising
// version. After a crash a block must hold the last acknowledged version, or the one that was in flight.
import { connect, type Socket } from 'node:net';

const BLOCK = 4096;
const DEPTH = 32;
const REQUEST_MAGIC = 0x25609513;

interface Pending {
  readonly block: number;
  readonly version: number;
  readonly resolve: (data: Buffer | null) => void;
}

export class StampWriter {
  acknowledged = 0;
  readonly #blocks: number;
  readonly #acked: Float64Array;
  readonly #tried: Float64Array;
  readonly #pending = new Map<number, Pending>();
  readonly #busy = new Set<number>();
  #socket: Socket | null = null;
  #input: Buffer = Buffer.alloc(0);
  #waiting: ((chunk: Buffer) => void) | null = null;
  #needed = 0;
  #cookie = 1;
  #next = 0;
  #isWriting = false;
  #stopped: Promise<void> = Promise.resolve();

  constructor(blocks: number) {
    this.#blocks = blocks;
    this.#acked = new Float64Array(blocks);
    this.#tried = new Float64Array(blocks);
  }

  async connect(uri: string): Promise<void> {
    const socket = connect(uri.replace('nbd+unix:///?socket=', ''));
    this.#socket = socket;
    this.#input = Buffer.alloc(0);
    this.#waiting = null;
    this.#pending.clear();
    this.#busy.clear();
    this.#stopped = new Promise((resolve) => socket.once('close', () => resolve()));
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    await this.#read(18);
    // Fixed newstyle without the 124 zero bytes, then EXPORT_NAME of the default export.
    socket.write(Buffer.from([0, 0, 0, 3]));
    socket.write(Buffer.concat([Buffer.from('IHAVEOPT'), Buffer.from([0, 0, 0, 1, 0, 0, 0, 0])]));
    await this.#read(10);
    void this.#readReplies();
  }

  start(): void {
    this.#isWriting = true;
    for (let i = 0; i < DEPTH; i += 1) this.#writeNext();
  }

  /** Resolves when the server is gone. */
  async stopped(): Promise<void> {
    await this.#stopped;
    this.#isWriting = false;
  }

  /** Reads every block that was ever acknowledged; returns how many. Throws on the first that is wrong. */
  async check(): Promise<number> {
    let checked = 0;
    for (let block = 0; block < this.#blocks; block += 1) {
      if (this.#acked[block] === 0) continue;
      const data = await new Promise<Buffer | null>((resolve) => this.#request(0, block, 0, resolve));
      const version = data === null ? NaN : data.readDoubleLE(8);
      if (data === null || data.readDoubleLE(0) !== block || !isUniform(data))
        throw new Error(`block ${block} holds foreign or mixed data`);
      if (version !== this.#acked[block] && version !== this.#tried[block]) {
        throw new Error(
          `block ${block} holds version ${version}; ${this.#acked[block]} was acknowledged, ${this.#tried[block]} the last tried`,
        );
      }
      // What was read once must stay: from now on it counts as acknowledged.
      this.#acked[block] = version;
      checked += 1;
    }
    return checked;
  }

  async close(): Promise<void> {
    this.#isWriting = false;
    this.#socket?.destroy();
    await this.#stopped;
  }

  #writeNext(): void {
    if (!this.#isWriting) return;
    let block = this.#next;
    while (this.#busy.has(block)) block = (block + 1) % this.#blocks;
    this.#next = (block + 37) % this.#blocks;
    const version = this.#tried[block]! + 1;
    this.#tried[block] = version;
    this.#busy.add(block);
    this.#request(1, block, version, () => {
      this.#acked[block] = version;
      this.acknowledged += 1;
      this.#busy.delete(block);
      this.#writeNext();
    });
  }

  #request(type: 0 | 1, block: number, version: number, resolve: (data: Buffer | null) => void): void {
    const head = Buffer.alloc(28);
    head.writeUInt32BE(REQUEST_MAGIC, 0);
    head.writeUInt16BE(type, 6);
    head.writeBigUInt64BE(BigInt(this.#cookie), 8);
    head.writeBigUInt64BE(BigInt(block * BLOCK), 16);
    head.writeUInt32BE(BLOCK, 24);
    this.#pending.set(this.#cookie, { block, version: type === 1 ? version : -1, resolve });
    this.#cookie += 1;
    this.#socket!.write(type === 1 ? Buffer.concat([head, stamped(block, version)]) : head);
  }

  async #readReplies(): Promise<void> {
    for (;;) {
      const head = await this.#read(16);
      const cookie = Number(head.readBigUInt64BE(8));
      const pending = this.#pending.get(cookie)!;
      this.#pending.delete(cookie);
      // An error means: not acknowledged. The server is going down.
      if (head.readUInt32BE(4) !== 0) continue;
      pending.resolve(pending.version < 0 ? await this.#read(BLOCK) : null);
    }
  }

  #read(length: number): Promise<Buffer> {
    this.#needed = length;
    return new Promise((resolve) => {
      this.#waiting = resolve;
      this.#receive(Buffer.alloc(0));
    });
  }

  #receive(chunk: Buffer): void {
    this.#input = chunk.length === 0 ? this.#input : Buffer.concat([this.#input, chunk]);
    const waiting = this.#waiting;
    if (waiting === null || this.#input.length < this.#needed) return;
    this.#waiting = null;
    const piece = this.#input.subarray(0, this.#needed);
    this.#input = this.#input.subarray(this.#needed);
    waiting(piece);
  }
}

function stamped(block: number, version: number): Buffer {
  const stamp = Buffer.alloc(16);
  stamp.writeDoubleLE(block, 0);
  stamp.writeDoubleLE(version, 8);
  return Buffer.alloc(BLOCK, stamp);
}

function isUniform(data: Buffer): boolean {
  return data.equals(Buffer.alloc(BLOCK, data.subarray(0, 16)));
}
