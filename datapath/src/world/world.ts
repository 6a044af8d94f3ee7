// The world: everything outside a program, injected. world/node opens the real one, sim/ makes simulated ones.
// One world per thread; its arena and streams are never shared between threads.
import type { Clock, Turn } from './clock.ts';
import type { Disks } from './disk.ts';
import type { Files } from './files.ts';
import type { Fuse } from './fuse.ts';
import type { Http } from './http.ts';
import type { Kernel } from './kernel.ts';
import type { Logger } from './log.ts';
import type { LoopDevices } from './loop-devices.ts';
import type { IoMemory } from './memory.ts';
import type { Network } from './network.ts';
import type { Processes } from './processes.ts';
import type { Random } from './random.ts';
import type { Ublk } from './ublk.ts';

export interface World {
  /** Which side drives sockets and disks: "io_uring", "libuv" or "simulated". */
  readonly ports: 'io_uring' | 'libuv' | 'simulated';
  readonly clock: Clock;
  readonly turn: Turn;
  readonly random: Random;
  readonly memory: IoMemory;
  readonly disks: Disks;
  readonly network: Network;
  readonly http: Http;
  readonly files: Files;
  readonly processes: Processes;
  /** Only with the native addon. */
  readonly kernel?: Kernel;
  /** Absent where there is no kernel, or no native addon to talk to it. */
  readonly fuse?: Fuse;
  readonly loopDevices?: LoopDevices;
  /** Only with the native addon and io_uring. */
  readonly ublk?: Ublk;
  readonly log: Logger;
  /** Lower-case hex. */
  sha256(bytes: Uint8Array): string;
  /** Ends the world: closes what is still open, stops timers. Idempotent. */
  close(): Promise<void>;
}
