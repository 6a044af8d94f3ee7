// The node's pfnbd, as far as the node service asks it: AttachClient has this shape, and so has the one of the tests.

export interface AttachedVolume {
  readonly volume_name: string;
  /** Names the act of attaching: a later one has another number. */
  readonly attachment: number;
  readonly read_only: boolean;
  /** "/dev/nbd3"; empty while STARTING. */
  readonly device: string;
  /** Bytes, as the device has it. */
  readonly size: number;
  /** STARTING: an earlier pfnbd's device, whose requests wait. OVER: the attachment has ended, every request fails. */
  readonly state: 'STARTING' | 'SERVING' | 'OVER';
}

export interface Attacher {
  /** Idempotent. Errors: FENCED (the attachment is over), INVALID_STATE (an earlier one's device is still in use), NOT_FOUND, UNAVAILABLE. */
  attach(request: Pick<AttachedVolume, 'volume_name' | 'attachment' | 'read_only'>): Promise<AttachedVolume>;
  /** Idempotent. Error INVALID_STATE while the device is in use. */
  detach(volumeName: string): Promise<void>;
  /** The device takes the volume's current size. Error NOT_FOUND when it is not attached. */
  resize(volumeName: string): Promise<AttachedVolume>;
  list(): Promise<readonly AttachedVolume[]>;
}
