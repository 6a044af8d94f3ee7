// One place in a client's queue: rests, sends a random request, checks the answer, rests again. Or one request of a story.
import { BlockRequest, FLUSH, READ, WRITE } from '../../block/device.ts';
import type { BlockOperation, RequestOwner } from '../../block/device.ts';
import type { Timer } from '../../world/clock.ts';
import type { ReadOperation, WriteOperation } from '../checkers/block-history.ts';
import type { Region } from './hot-set.ts';
import type { LoadClient } from './load-client.ts';

export class LoadSlot implements RequestOwner {
  readonly #client: LoadClient;
  readonly #request = new BlockRequest(this);
  /** Given for a single request: called with its errno instead of resting again. */
  readonly #once: ((errno: number) => void) | null;
  #timer: Timer | null = null;
  #change: WriteOperation | null = null;
  #read: ReadOperation | null = null;
  #wasSuperseded = false;

  constructor(client: LoadClient, once: ((errno: number) => void) | null = null) {
    this.#client = client;
    this.#once = once;
  }

  rest(): void {
    this.#timer = this.#client.world.clock.after(this.#client.nextRestMs(), () => {
      const operation = this.#client.drawOperation();
      this.issue(operation, this.#client.drawRange(operation));
    });
  }

  cancelRest(): void {
    this.#timer?.cancel();
  }

  issue(operation: BlockOperation, range: Region): void {
    const client = this.#client;
    if (client.isStopped && this.#once === null) return;
    const request = this.#request;
    request.operation = operation;
    request.offset = operation === FLUSH ? 0 : range.offset;
    request.length = operation === FLUSH ? 0 : range.length;
    request.memory = operation <= WRITE ? client.world.memory.acquireSlot(range.length) : 0;
    if (operation <= WRITE && request.memory === 0) return this.#restAgain();
    this.#record();
    client.requestCount += 1;
    client.inFlight += 1;
    client.device!.submit(request);
  }

  requestDone(request: BlockRequest): void {
    const client = this.#client;
    const { history } = client.options;
    const { bytes } = client.world.memory;
    client.inFlight -= 1;
    if (this.#read !== null) history.readDone(this.#read, request.result === 0 ? bytes : null, request.memory);
    if (this.#change !== null) history.writeDone(this.#change, request.result);
    this.#read = null;
    this.#change = null;
    if (request.memory !== 0) {
      // Whoever still reads this memory sends garbage, which the history would notice.
      bytes.fill(0xee, request.memory, request.memory + request.length);
      client.world.memory.releaseSlot(request.memory);
    }
    client.judge(request, this.#wasSuperseded);
    if (this.#once !== null) this.#once(request.result);
    else this.#restAgain();
  }

  #record(): void {
    const client = this.#client;
    const { history } = client.options;
    const { operation, offset, length, memory } = this.#request;
    this.#wasSuperseded = client.isSuperseded;
    if (operation === FLUSH) return;
    if (operation === READ) {
      this.#read = history.readStarted(client.name, offset, length);
      return;
    }
    client.touch({ offset, length });
    if (operation === WRITE) {
      this.#change = history.writeStarted(client.name, offset, length);
      history.fill(this.#change, client.world.memory.bytes, memory);
    } else {
      this.#change = history.trimStarted(client.name, offset, length);
    }
  }

  #restAgain(): void {
    if (!this.#client.isStopped) this.rest();
  }
}
