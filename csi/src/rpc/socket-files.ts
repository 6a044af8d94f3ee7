// What servers on unix sockets need of the machine's file system; host/socket-files.ts has the real one.

export interface SocketFiles {
  /**
   * Makes the folder of `path` and room for a socket there: a socket on which nobody answers is removed. Errors: ALREADY_EXISTS when
   * somebody answers, or when a file is there that is no socket; INVALID_ARGUMENT when the path is too long for a socket.
   */
  clear(path: string): Promise<void>;
  /** For this user only. */
  restrict(path: string): Promise<void>;
  /** Names the very file at `path`: no other has this name while somebody listens on it. Null when there is none. */
  identify(path: string): Promise<string | null>;
}
