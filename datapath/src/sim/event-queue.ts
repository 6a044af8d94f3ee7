// What will happen next: a binary heap of events by (time, order of scheduling). Owned by the simulator.

export interface EventOwner {
  readonly id: number;
  readonly isAlive: boolean;
  readonly isPaused: boolean;
  /** Keeps an event that came due while the owner is paused. */
  hold(event: SimEvent): void;
  /** The event's callback threw. */
  eventFailed(error: unknown, label: string): void;
}

export class SimEvent {
  timeMs: number;
  sequence = 0;
  /** Null: the harness, or a piece of the world that runs whether or not a process does. */
  readonly owner: EventOwner | null;
  readonly label: string;
  readonly run: () => void;
  /** True when it may run code of a program: promises are then drained after it. */
  readonly isProgram: boolean;
  isCancelled = false;

  constructor(timeMs: number, owner: EventOwner | null, label: string, run: () => void, isProgram: boolean) {
    this.timeMs = timeMs;
    this.owner = owner;
    this.label = label;
    this.run = run;
    this.isProgram = isProgram;
  }

  cancel(): void {
    this.isCancelled = true;
  }
}

export class EventQueue {
  readonly #heap: SimEvent[] = [];
  #nextSequence = 1;

  get size(): number {
    return this.#heap.length;
  }

  push(event: SimEvent): void {
    event.sequence = this.#nextSequence;
    this.#nextSequence += 1;
    const heap = this.#heap;
    let index = heap.length;
    heap.push(event);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!isBefore(event, heap[parent]!)) break;
      heap[index] = heap[parent]!;
      index = parent;
    }
    heap[index] = event;
  }

  /** The next event that is not cancelled, left in place. */
  peek(): SimEvent | null {
    while (this.#heap.length > 0 && (this.#heap[0]!.isCancelled || this.#heap[0]!.owner?.isAlive === false)) this.#removeFirst();
    return this.#heap[0] ?? null;
  }

  pop(): SimEvent | null {
    const first = this.peek();
    if (first !== null) this.#removeFirst();
    return first;
  }

  #removeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = index * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child += 1;
      if (!isBefore(heap[child]!, last)) break;
      heap[index] = heap[child]!;
      index = child;
    }
    heap[index] = last;
  }
}

function isBefore(left: SimEvent, right: SimEvent): boolean {
  return left.timeMs < right.timeMs || (left.timeMs === right.timeMs && left.sequence < right.sequence);
}
