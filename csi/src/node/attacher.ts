// The node's pfnbd, as far as the node service asks it: AttachClient has this shape, and so has the one of the tests.
import type { AttachedVolume as Listed, AttachRequest } from '@pureflash/datapath/attach';

/** Which mapper made the device is nobody's business here. */
export type AttachedVolume = Omit<Listed, 'mapper'>;

export interface Attacher {
  /** Idempotent. Errors: FENCED (the attachment is over), INVALID_STATE (an earlier one's device is still in use), NOT_FOUND, UNAVAILABLE. */
  attach(request: AttachRequest): Promise<AttachedVolume>;
  /** Idempotent. Error INVALID_STATE while the device is in use. */
  detach(volumeName: string): Promise<void>;
  /** The device takes the volume's current size. Error NOT_FOUND when it is not attached. */
  resize(volumeName: string): Promise<AttachedVolume>;
  /** Whether any block of it holds what somebody has written. Errors: NOT_FOUND, UNAVAILABLE, FENCED, UNSUPPORTED (an older pfnbd). */
  isWritten(volumeName: string): Promise<boolean>;
  list(): Promise<readonly AttachedVolume[]>;
}
