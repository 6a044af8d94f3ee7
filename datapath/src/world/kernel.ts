// Calls to the kernel that may wait for as long as a block device does. None of them waits on the caller's thread, nor on one that other
// work shares; a call whose device never answers costs its own thread and nothing else, not even a socket of the process once that
// is killed. Who gives up waiting brings his own deadline. Absent from worlds without the native addon, and from simulated ones.

export interface NetlinkOptions {
  /** Descriptors that the message names: the kernel finds no others. At most 16. */
  readonly descriptors?: readonly number[];
  /**
   * A block device that is claimed before the message is sent, until the answer has come: error INVALID_STATE, and nothing is sent, when
   * somebody has it mounted or has claimed it.
   */
  readonly claim?: string;
  /** Of waiting for the answer once the kernel has taken the message. Default 10 s. */
  readonly timeoutMs?: number;
}

export interface NetlinkListener {
  close(): void;
}

export interface Kernel {
  /**
   * Sends one message to generic netlink; it asks for an acknowledgement. Resolves with the messages that came back, the acknowledgement
   * or the kernel's refusal being the last. Errors: of the socket and of the claim; TIMEOUT.
   */
  exchangeNetlink(request: Uint8Array, options?: NetlinkOptions): Promise<Uint8Array>;
  /**
   * Hears a multicast group of generic netlink, by its number. Empty bytes: announcements were lost. Does not keep the process alive.
   */
  listenNetlink(group: number, onMessages: (bytes: Uint8Array) => void): NetlinkListener;
  /**
   * For a process that serves a block device of this machine: its I/O memory stays in place, and what it allocates waits for no
   * device. Answers what could not be had, in words.
   */
  guardMemory(): readonly string[];
  /** One write to a file that is there, as in /sys. Errors: NOT_FOUND, INVALID_ARGUMENT, PERMISSION_DENIED. */
  writeAttribute(path: string, text: string): Promise<void>;
}
