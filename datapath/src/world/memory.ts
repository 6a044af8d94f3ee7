// I/O memory: one arena per world (so one per thread), in which every byte that meets a socket or a disk lives.
// The hot path passes arena offsets (plain numbers), never views. Offset 0 is never handed out.
// In the real world the arena is page-aligned and known to the ring; the simulated one is an ordinary buffer.
//
// A slot is a run of arena bytes for one payload: its start is aligned to 4096, and the SLOT_HEADROOM_BYTES before
// its start belong to it too, so that a protocol head can be written right before the payload and both leave in one send.

export const SLOT_HEADROOM_BYTES = 4096;
/** The largest payload one slot holds: the largest request of the wire protocol. */
export const MAX_SLOT_BYTES = 1024 * 1024;

export interface IoMemory {
  readonly buffer: ArrayBuffer;
  /** The whole arena. */
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly sizeBytes: number;

  /**
   * Takes memory for good (connection buffers, log buffers): aligned to 4096. Throws PfError NO_SPACE when exhausted.
   * `release` gives it back for another `reserve` of the same size.
   */
  reserve(sizeBytes: number): number;
  release(offset: number, sizeBytes: number): void;

  /** A slot for a payload of up to `sizeBytes` (1..MAX_SLOT_BYTES): its payload offset, or 0 when none is free now. */
  acquireSlot(sizeBytes: number): number;
  /** Ends one use of a slot; the last one gives it back and wakes waiters. `offset` is what acquireSlot or retainSlot returned. */
  releaseSlot(offset: number): void;
  /**
   * One more user of the slot in which `offset` lies: it stays taken until releaseSlot has been called once more, with the offset
   * that this returns. For whoever still reads a payload after its request has been answered.
   */
  retainSlot(offset: number): number;
  /** Calls `waiter.complete(0)` once, when a slot of that size may be free; FIFO. Callers retry acquireSlot. */
  whenSlotFree(sizeBytes: number, waiter: { complete(result: number): void }): void;

  /** CRC32C (Castagnoli) of arena bytes, continuing from `seed` (0 to start). Unsigned 32-bit. */
  crc32c(offset: number, length: number, seed: number): number;
}
