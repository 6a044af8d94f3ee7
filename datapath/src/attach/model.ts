// What pfnbd and those who ask it speak about: the nouns of its socket, with their limits.
import { attachmentField } from '../api/bodies.ts';
import { flagField, nameField, recordOf } from '../api/fields.ts';

/** The name by which pfnbd greets at its socket. */
export const PFNBD = 'pfnbd';

export interface AttachRequest {
  readonly volume_name: string;
  /** What the conductor's attach_volume answered for this node. */
  readonly attachment: number;
  readonly read_only: boolean;
}

/** STARTING: the device is there since an earlier pfnbd, its requests wait. OVER: the attachment has ended, every request fails. */
export type AttachedState = 'STARTING' | 'SERVING' | 'OVER';

export interface AttachedVolume extends AttachRequest {
  /** "/dev/nbd3"; empty while STARTING. */
  readonly device: string;
  /** Bytes, as the device has it. */
  readonly size: number;
  /** Which mapper made it. */
  readonly mapper: string;
  readonly state: AttachedState;
  /** What is or was wrong with it, in words for the node's administrator, and what to do; absent: nothing that pfnbd knows of. */
  readonly problem?: string;
}

/** Whether anything was ever written, and not trimmed since. */
export interface WrittenReply {
  readonly is_written: boolean;
}

export const attachRequestField = recordOf<AttachRequest>({
  volume_name: nameField,
  attachment: attachmentField,
  read_only: flagField,
});

export const volumeRequestField = recordOf<Pick<AttachRequest, 'volume_name'>>({ volume_name: nameField });
