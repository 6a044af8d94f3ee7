// The kernel's FUSE, as far as a server of one file needs it: the device that carries requests, its mount, and a holder process that
// keeps the connection alive while no server lives. The protocol itself is attach/fuse's; here a request is a run of bytes.
import type { Completion } from './completion.ts';
import type { ProcessIdentity } from './processes.ts';

/** A request lies from here before its slot, so that the payload of a write (whose head has this length) begins the slot. */
export const FUSE_HEAD_BYTES = 80;
/** The longest payload of one request, either way. */
export const FUSE_PAYLOAD_BYTES = 1024 * 1024;

export interface FuseHandler {
  /**
   * One request: `length` bytes from `slot - FUSE_HEAD_BYTES`. True: the handler keeps the slot and gives it back with releaseSlot();
   * false: the memory is used again when this returns.
   */
  takeRequest(slot: number, length: number): boolean;
  /** The kernel has ended the connection (unmounted or aborted): nothing comes any more. Called once, not from within a call. */
  channelEnded(): void;
}

export interface FuseChannel {
  start(handler: FuseHandler): void;
  /** Takes no further requests for now, but for those that are being read. */
  pause(): void;
  resume(): void;
  /**
   * One whole reply; the memory is the channel's until `done`. An error means that nobody waits for the reply any more. `done` may come late,
   * with the next event, unless it is awaited.
   */
  send(memoryOffset: number, length: number, done: Completion, isAwaited?: boolean): void;
  /** Takes no further requests for good; resolves when all that were read have been handed over. */
  stop(): Promise<void>;
  /** Lets go of the connection, which lives on while a holder has it. Replies not yet sent are dropped. Idempotent. */
  close(): Promise<void>;
}

export interface Fuse {
  /** Null when this machine can do it; else what is missing. */
  unavailable(): Promise<string | null>;
  /** A connection that is mounted nowhere. */
  open(): Promise<FuseChannel>;
  /** Creates `folder` (0700) and mounts there. Replies are needed only afterwards. */
  mount(channel: FuseChannel, folder: string): Promise<void>;
  isMounted(folder: string): Promise<boolean>;
  /** "abort": whoever waits for a reply gets an error at once. Removes `folder`. Nothing when there is none. */
  unmount(folder: string, how: 'clean' | 'abort'): Promise<void>;
  /** Starts a detached process that does nothing but hold the connection; `label` is its only argument. */
  hold(channel: FuseChannel, label: string): Promise<ProcessIdentity>;
  /** The connection that a holder has; null when that process has ended. */
  regain(holder: ProcessIdentity): Promise<FuseChannel | null>;
  findHolders(label: string): Promise<readonly ProcessIdentity[]>;
  /** Resolves when it has ended. */
  endHolder(holder: ProcessIdentity): Promise<void>;
}
