// The NBD devices of this machine as /sys shows them. A device that is not connected has neither a process nor a size; the kernel shows
// the identifier that was given at the connect from Linux 5.14 on. Read by NbdMapper; nothing here changes a device.
import type { Clock } from '../../world/clock.ts';
import type { Files } from '../../world/files.ts';

export interface KernelDevice {
  readonly index: number;
  readonly sizeBytes: number;
  /** It is configured. Its sockets may all be dead. */
  readonly isConnected: boolean;
  /** Null where the kernel does not show one, and for devices that others connected without. */
  readonly backend: string | null;
}

const SECTOR_BYTES = 512;
const ATTRIBUTE_BYTES_MAX = 4096;
const LOOK_MS = 10;

export class KernelDevices {
  readonly #files: Files;
  readonly #clock: Clock;
  readonly #folder: string;

  /** `folder` is "/sys/block". */
  constructor(files: Files, clock: Clock, folder: string) {
    this.#files = files;
    this.#clock = clock;
    this.#folder = folder;
  }

  attributePath(index: number, attribute: string): string {
    return `${this.#folder}/nbd${index}/${attribute}`;
  }

  async read(index: number): Promise<KernelDevice> {
    const [sectors, pid, backend] = await Promise.all([
      this.#attribute(index, 'size'),
      this.#attribute(index, 'pid'),
      this.#attribute(index, 'backend'),
    ]);
    const sizeBytes = Number(sectors ?? 0) * SECTOR_BYTES;
    return { index, sizeBytes, isConnected: pid !== null, backend };
  }

  async connected(): Promise<readonly KernelDevice[]> {
    const indexes = (await this.indexes()).map((index) => this.read(index));
    return (await Promise.all(indexes)).filter((device) => device.isConnected);
  }

  async indexes(): Promise<readonly number[]> {
    const names = await this.#files.list(this.#folder);
    return names.map((name) => /^nbd(\d+)$/.exec(name)?.[1]).flatMap((digits) => (digits === undefined ? [] : [Number(digits)]));
  }

  async findByBackend(name: string): Promise<KernelDevice | null> {
    return (await this.connected()).find((device) => device.backend === name) ?? null;
  }

  /** True once nothing of that connection is left; false when something was after that time: somebody has the device open. */
  async waitUntilGone(index: number, name: string, timeoutMs: number): Promise<boolean> {
    const deadline = this.#clock.now() + timeoutMs;
    for (;;) {
      const { isConnected, sizeBytes, backend } = await this.read(index);
      if (!isConnected && sizeBytes === 0 && backend === null) return true;
      if (backend !== null && backend !== name) return true; // Connected by somebody else since.
      if (this.#clock.now() > deadline) return false;
      await this.#clock.sleep(LOOK_MS);
    }
  }

  async #attribute(index: number, attribute: string): Promise<string | null> {
    // A device may go away between any two looks; what cannot be read any more is not there.
    const bytes = await this.#files.readStart(this.attributePath(index, attribute), ATTRIBUTE_BYTES_MAX).catch(() => null);
    return bytes === null ? null : new TextDecoder().decode(bytes).trim();
  }
}
