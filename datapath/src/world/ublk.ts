// The kernel's ublk: block devices whose requests a process answers. Control commands, and the one queue of a device. What commands and
// descriptors mean is attach/ublk's; here they are numbers and bytes.
//
// A control command may wait for the device's own requests, so it runs in a process of its own: what waits there keeps neither a descriptor
// nor memory of this program alive, and once this program is killed the kernel hands its requests to the next one. Absent from worlds
// without the native addon or without io_uring, and from simulated ones.

export interface UblkCommand {
  /** The kernel's number of the command. */
  readonly operation: number;
  /** 0xffffffff: none yet. */
  readonly deviceId: number;
  /** Inline data. Default 0. */
  readonly data?: number;
  /** What the command reads or writes. */
  readonly bytes?: Uint8Array;
}

export interface UblkControlOptions {
  /** Go on after a command that has failed. Default: the rest is not done, with ECANCELED. */
  readonly goesOn?: boolean;
  /**
   * A block device that is claimed before the first command and until after the last: error INVALID_STATE, and nothing is done, when somebody
   * has it mounted or has claimed it; NOT_FOUND when it is not there.
   */
  readonly claim?: string;
  /** Files of /sys that are written when all commands have succeeded; one that refuses is left as it is. */
  readonly attributes?: readonly (readonly [path: string, text: string])[];
  /** After which the error is TIMEOUT; the kernel goes on with the command all the same. Default 30 s. */
  readonly timeoutMs?: number;
}

export interface UblkOutcome {
  /** 0, or a positive errno. */
  readonly errno: number;
  /** The command's bytes as the kernel left them. */
  readonly bytes: Uint8Array;
}

/** Of one call of control(). */
export const UBLK_COMMANDS_MAX = 64;
/** A descriptor has six words of 32 bits. */
export const UBLK_DESCRIPTOR_WORDS = 6;

export interface UblkHandler {
  /** The kernel has answered the command of this tag: 0, 1 (a write waits for getData), or a negative errno. */
  commandDone(tag: number, result: number): void;
  /** Memory of all commits so far is its owner's again. */
  commitsTaken(): void;
}

/** One command at a time for each tag, from the thread that opened the queue. They leave together at the end of the turn. */
export interface UblkQueue {
  /** The kernel's descriptors, UBLK_DESCRIPTOR_WORDS for each tag; not to be touched after close(). */
  readonly descriptors: Uint32Array;
  start(handler: UblkHandler): void;
  /** Asks for a first request. */
  fetch(tag: number): void;
  /** Has a write's payload copied to that arena offset. */
  getData(tag: number, memory: number): void;
  /** Answers with a count of bytes or a negative errno, a read's payload lying at `memory`, and asks for the next request. */
  commit(tag: number, result: number, memory: number): void;
  /** Lets the device go; the kernel keeps what was not answered for the next process. Only while no command is out. Idempotent. */
  close(): void;
}

export interface Ublk {
  /** Null when the kernel has ublk and lets us use it; else what is missing. */
  unavailable(): Promise<string | null>;
  /** Resolves with one outcome for each command. */
  control(commands: readonly UblkCommand[], options?: UblkControlOptions): Promise<readonly UblkOutcome[]>;
  /** Error INVALID_STATE while another process has it. */
  open(deviceId: number, depth: number): UblkQueue;
}
