// CSI 1.12: what a volume is, what it can do, how large and where. Used by the controller's and the node's messages.
import { choiceOf, enumeration, flag, int64, listOf, message, nested, oneof, text, textList, textMap } from './description.ts';
import type { EnumOf, MessageOf } from './description.ts';

/** In bytes; 0 is "not said". */
export const CapacityRange = message('csi.v1.CapacityRange', { requiredBytes: int64(1), limitBytes: int64(2) });
export type CapacityRange = MessageOf<typeof CapacityRange>;

export const AccessModeName = enumeration('csi.v1.VolumeCapability.AccessMode.Mode', {
  UNKNOWN: 0,
  SINGLE_NODE_WRITER: 1,
  SINGLE_NODE_READER_ONLY: 2,
  MULTI_NODE_READER_ONLY: 3,
  MULTI_NODE_SINGLE_WRITER: 4,
  MULTI_NODE_MULTI_WRITER: 5,
  SINGLE_NODE_SINGLE_WRITER: 6,
  SINGLE_NODE_MULTI_WRITER: 7,
});
export type AccessModeName = EnumOf<typeof AccessModeName>;

export const AccessMode = message('csi.v1.VolumeCapability.AccessMode', { mode: choiceOf(1, AccessModeName) });
export type AccessMode = MessageOf<typeof AccessMode>;

export const BlockVolume = message('csi.v1.VolumeCapability.BlockVolume', {});
export type BlockVolume = MessageOf<typeof BlockVolume>;

export const MountVolume = message('csi.v1.VolumeCapability.MountVolume', {
  fsType: text(1),
  mountFlags: textList(2),
  volumeMountGroup: text(3),
});
export type MountVolume = MessageOf<typeof MountVolume>;

export const VolumeCapability = message('csi.v1.VolumeCapability', {
  ...oneof('access_type', { block: nested(1, BlockVolume), mount: nested(2, MountVolume) }),
  accessMode: nested(3, AccessMode),
});
export type VolumeCapability = MessageOf<typeof VolumeCapability>;

export const Topology = message('csi.v1.Topology', { segments: textMap(1) });
export type Topology = MessageOf<typeof Topology>;

export const TopologyRequirement = message('csi.v1.TopologyRequirement', {
  requisite: listOf(1, Topology),
  preferred: listOf(2, Topology),
});
export type TopologyRequirement = MessageOf<typeof TopologyRequirement>;

export const SnapshotSource = message('csi.v1.VolumeContentSource.SnapshotSource', { snapshotId: text(1) });
export type SnapshotSource = MessageOf<typeof SnapshotSource>;

export const VolumeSource = message('csi.v1.VolumeContentSource.VolumeSource', { volumeId: text(1) });
export type VolumeSource = MessageOf<typeof VolumeSource>;

export const VolumeContentSource = message('csi.v1.VolumeContentSource', {
  ...oneof('type', { snapshot: nested(1, SnapshotSource), volume: nested(2, VolumeSource) }),
});
export type VolumeContentSource = MessageOf<typeof VolumeContentSource>;

export const Volume = message('csi.v1.Volume', {
  capacityBytes: int64(1),
  volumeId: text(2),
  volumeContext: textMap(3),
  contentSource: nested(4, VolumeContentSource),
  accessibleTopology: listOf(5, Topology),
});
export type Volume = MessageOf<typeof Volume>;

/** Not in CSI 1.13 and later: such peers skip it. */
export const VolumeCondition = message('csi.v1.VolumeCondition', { abnormal: flag(1), message: text(2) });
export type VolumeCondition = MessageOf<typeof VolumeCondition>;
