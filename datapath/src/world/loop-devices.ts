// Loop devices: the kernel's block devices over files. No call waits on the caller's thread for the file, which the same thread may serve.

export interface LoopDevice {
  /** "/dev/loop3" */
  readonly path: string;
  /** As the kernel tells it. Of a file whose mount was made in a container that has ended: its path below that mount. */
  readonly backingFile: string;
  readonly sizeBytes: number;
  /** Requests go to the file without a copy in the page cache. */
  readonly isDirect: boolean;
}

export interface LoopOptions {
  readonly blockSizeBytes: 512 | 4096;
  readonly isReadOnly: boolean;
}

export interface LoopDevices {
  /** Null when this machine can do it; else what is missing. */
  unavailable(): Promise<string | null>;
  /** Those that have a file. */
  list(): Promise<readonly LoopDevice[]>;
  /** A free device over the file, with direct I/O: its path. Errors: NO_SPACE when there is none left. */
  attach(backingFile: string, options: LoopOptions): Promise<string>;
  /** The device takes the size that its file, which is seen at `path`, has now. */
  takeSize(device: LoopDevice, path: string): Promise<number>;
  /** Error INVALID_STATE while it is mounted or opened by others: nothing has changed then. */
  detach(device: LoopDevice): Promise<void>;
  /** The device goes when the last user has closed it. */
  detachLazily(device: LoopDevice): Promise<void>;
}
