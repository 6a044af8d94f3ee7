// The kernel's end of a ublk queue, in memory: gives requests to tags and keeps the answers. It refuses what the kernel refuses, and
// nothing of the server's codec is used, so that a mistake there is not made twice.
import { crc32c } from '../../../base/crc32c.ts';
import type { BlockDevice } from '../../../block/device.ts';
import { Arena } from '../../../world/arena.ts';
import { TurnQueue } from '../../../world/turn-queue.ts';
import type { UblkHandler, UblkQueue } from '../../../world/ublk.ts';
import { UblkServer } from '../ublk-server.ts';

export const MiB = 1024 * 1024;
const EINVAL = 22;
const ENODEV = 19;

export interface KernelRequest {
  readonly operation: number;
  /** Default 0. */
  readonly flags?: number;
  readonly startSector: number;
  readonly sectors: number;
  /** Default 0: for sectors beyond 32 bits. */
  readonly startHigh?: number;
  /** Of a write. */
  readonly payload?: Buffer;
}

export interface Answer {
  readonly tag: number;
  readonly result: number;
  readonly payload: Buffer;
}

export class ScriptedQueue implements UblkQueue {
  readonly turn = new TurnQueue(() => {});
  readonly memory = new Arena(new ArrayBuffer(16 * MiB), crc32c, this.turn);
  readonly descriptors: Uint32Array;
  readonly server: UblkServer;
  readonly answers: Answer[] = [];
  /** Told by the server. */
  readonly refusals: number[] = [];
  /** Tags whose payloads were asked for: before that the kernel takes no answer to a write. */
  readonly copied: number[] = [];
  isClosed = false;
  /** Pages of the payload that the kernel can copy. */
  copiesSectors = Infinity;
  readonly #requests: (KernelRequest | null)[];
  readonly #isOut: boolean[];
  #handler: UblkHandler | null = null;

  constructor(makeDevice: (memory: Arena) => BlockDevice, depth = 4) {
    this.descriptors = new Uint32Array(6 * depth);
    this.#requests = Array.from({ length: depth }, () => null);
    this.#isOut = Array.from({ length: depth }, () => false);
    const onRefused = (errno: number): void => void this.refusals.push(errno);
    const scratch = this.memory.reserve(MiB);
    const options = { depth, maximumIoBytes: MiB, scratch, onRefused };
    this.server = new UblkServer(this.memory, this, makeDevice(this.memory), options);
    this.server.start();
    this.settle();
  }

  start(handler: UblkHandler): void {
    this.#handler = handler;
  }

  fetch(tag: number): void {
    this.#send(tag);
  }

  getData(tag: number, memory: number): void {
    this.#send(tag);
    this.copied.push(tag);
    const request = this.#requests[tag]!;
    const sectors = Math.min(request.sectors, this.copiesSectors);
    this.memory.bytes.set(request.payload!.subarray(0, sectors * 512), memory);
    this.descriptors[6 * tag + 1] = sectors;
    this.#complete(tag, 0);
  }

  commit(tag: number, result: number, memory: number): void {
    this.#send(tag);
    const request = this.#requests[tag]!;
    const isRead = request.operation === 0 && result > 0;
    this.#requests[tag] = null;
    this.turn.atEnd({
      runAtTurnEnd: () => {
        const payload = isRead ? Buffer.from(this.memory.bytes.slice(memory, memory + result)) : Buffer.alloc(0);
        this.answers.push({ tag, result, payload });
        this.#handler!.commitsTaken();
      },
    });
  }

  close(): void {
    if (this.#isOut.includes(true)) throw new Error('closed while the kernel has commands');
    this.isClosed = true;
  }

  settle(): void {
    for (let round = 0; round < 8; round += 1) this.turn.run();
  }

  /** Gives the request to a tag that waits. */
  deliver(tag: number, request: KernelRequest): void {
    if (!this.#isOut[tag] || this.#requests[tag] !== null) throw new Error(`tag ${tag} asks for no request`);
    this.#requests[tag] = request;
    const { operation, flags = 0, startSector, startHigh = 0, sectors } = request;
    this.descriptors.set([(operation | flags) >>> 0, sectors, startSector, startHigh, 0, 0], 6 * tag);
    this.#complete(tag, operation === 1 ? 1 : 0);
  }

  /** One request and its answer. */
  ask(request: KernelRequest): Answer {
    this.answers.length = 0;
    this.deliver(0, request);
    this.settle();
    if (this.answers.length !== 1) throw new Error(`${this.answers.length} answers to one request`);
    return this.answers[0]!;
  }

  /** Takes back the commands that wait for a request. */
  abort(): void {
    for (const [tag, isOut] of this.#isOut.entries()) if (isOut && this.#requests[tag] === null) this.#complete(tag, -ENODEV);
    this.settle();
  }

  /** The kernel refuses the command of a tag. */
  refuse(tag: number): void {
    this.#complete(tag, -EINVAL);
  }

  /** Tags whose requests have not been answered. */
  get unanswered(): readonly number[] {
    return [...this.#requests.keys()].filter((tag) => this.#requests[tag] !== null);
  }

  #send(tag: number): void {
    if (this.#isOut[tag] !== false) throw new Error(`tag ${tag} has two commands`);
    this.#isOut[tag] = true;
  }

  #complete(tag: number, result: number): void {
    this.#isOut[tag] = false;
    this.#handler!.commandDone(tag, result);
  }
}
