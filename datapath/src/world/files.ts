// Small files: configuration, pid files, the conductor's log and snapshots. Not the data path.

export interface AppendFile {
  readonly sizeBytes: number;
  /** Durable when it resolves. Appends are written in the order of the calls. */
  append(bytes: Uint8Array): Promise<void>;
  /** Cuts the file to `sizeBytes`, durably. */
  truncate(sizeBytes: number): Promise<void>;
  close(): Promise<void>;
}

export interface Files {
  /** Null when there is no such file. */
  read(path: string): Promise<Uint8Array | null>;
  /** The first `limitBytes` of a file, less if it is shorter; null when there is none. For what others write, as the kernel in /sys. */
  readStart(path: string, limitBytes: number): Promise<Uint8Array | null>;
  /** What a symbolic link says, as it is written there; null when there is nothing at `path`, or no link. */
  readLink(path: string): Promise<string | null>;
  /** Replaces the whole file atomically and durably (temporary file, fsync, rename, fsync of the folder). */
  replace(path: string, bytes: Uint8Array): Promise<void>;
  /** Opens for appending, creating it. */
  openAppend(path: string): Promise<AppendFile>;
  remove(path: string): Promise<void>;
  /** With its parents. A private one can be entered by the user of this program only, also when it was there before. */
  makeFolder(path: string, options?: { readonly isPrivate?: boolean }): Promise<void>;
  /** Names in a folder, sorted; empty when it does not exist. */
  list(path: string): Promise<string[]>;
  /**
   * Takes an exclusive lock that ends with the process, or when released.
   * Error INVALID_STATE when another holds it, saying which file.
   */
  lock(path: string): Promise<{ release(): Promise<void> }>;
}
