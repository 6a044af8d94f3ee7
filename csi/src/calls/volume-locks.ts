// One call at a time for each volume of this process. A second one is refused, not queued: its caller repeats it, and by then the first has
// ended. The lock is held until the work ends, also when its caller has left long ago: a mkfs does not stop because nobody waits for it.
import { RpcError } from '../rpc/status.ts';

export class VolumeLocks {
  readonly #held = new Map<string, string>();

  /** Error ABORTED while another call works on that volume. `what` is the call's name. */
  async run<T>(volumeId: string, what: string, work: () => Promise<T>): Promise<T> {
    const holder = this.#held.get(volumeId);
    if (holder !== undefined) {
      throw new RpcError('ABORTED', `${what} of volume "${volumeId}" waits: ${holder} is under way for it; call again`);
    }
    this.#held.set(volumeId, what);
    try {
      return await work();
    } finally {
      this.#held.delete(volumeId);
    }
  }
}
