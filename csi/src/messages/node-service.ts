// CSI 1.12: the Node service.
import {
  choiceOf,
  command,
  enumeration,
  flag,
  int64,
  listOf,
  message,
  nested,
  oneof,
  query,
  secretMap,
  service,
  text,
  textMap,
} from './description.ts';
import type { EnumOf, MessageOf } from './description.ts';
import { CapacityRange, Topology, VolumeCapability, VolumeCondition } from './volume-messages.ts';

export const NodeStageVolumeRequest = message('csi.v1.NodeStageVolumeRequest', {
  volumeId: text(1),
  publishContext: textMap(2),
  stagingTargetPath: text(3),
  volumeCapability: nested(4, VolumeCapability),
  secrets: secretMap(5),
  volumeContext: textMap(6),
});
export type NodeStageVolumeRequest = MessageOf<typeof NodeStageVolumeRequest>;

export const NodeStageVolumeResponse = message('csi.v1.NodeStageVolumeResponse', {});
export type NodeStageVolumeResponse = MessageOf<typeof NodeStageVolumeResponse>;

export const NodeUnstageVolumeRequest = message('csi.v1.NodeUnstageVolumeRequest', {
  volumeId: text(1),
  stagingTargetPath: text(2),
});
export type NodeUnstageVolumeRequest = MessageOf<typeof NodeUnstageVolumeRequest>;

export const NodeUnstageVolumeResponse = message('csi.v1.NodeUnstageVolumeResponse', {});
export type NodeUnstageVolumeResponse = MessageOf<typeof NodeUnstageVolumeResponse>;

export const NodePublishVolumeRequest = message('csi.v1.NodePublishVolumeRequest', {
  volumeId: text(1),
  publishContext: textMap(2),
  stagingTargetPath: text(3),
  targetPath: text(4),
  volumeCapability: nested(5, VolumeCapability),
  readonly: flag(6),
  secrets: secretMap(7),
  volumeContext: textMap(8),
});
export type NodePublishVolumeRequest = MessageOf<typeof NodePublishVolumeRequest>;

export const NodePublishVolumeResponse = message('csi.v1.NodePublishVolumeResponse', {});
export type NodePublishVolumeResponse = MessageOf<typeof NodePublishVolumeResponse>;

export const NodeUnpublishVolumeRequest = message('csi.v1.NodeUnpublishVolumeRequest', {
  volumeId: text(1),
  targetPath: text(2),
});
export type NodeUnpublishVolumeRequest = MessageOf<typeof NodeUnpublishVolumeRequest>;

export const NodeUnpublishVolumeResponse = message('csi.v1.NodeUnpublishVolumeResponse', {});
export type NodeUnpublishVolumeResponse = MessageOf<typeof NodeUnpublishVolumeResponse>;

export const NodeGetVolumeStatsRequest = message('csi.v1.NodeGetVolumeStatsRequest', {
  volumeId: text(1),
  volumePath: text(2),
  stagingTargetPath: text(3),
});
export type NodeGetVolumeStatsRequest = MessageOf<typeof NodeGetVolumeStatsRequest>;

export const UsageUnit = enumeration('csi.v1.VolumeUsage.Unit', { UNKNOWN: 0, BYTES: 1, INODES: 2 });
export type UsageUnit = EnumOf<typeof UsageUnit>;

export const VolumeUsage = message('csi.v1.VolumeUsage', {
  available: int64(1),
  total: int64(2),
  used: int64(3),
  unit: choiceOf(4, UsageUnit),
});
export type VolumeUsage = MessageOf<typeof VolumeUsage>;

export const NodeGetVolumeStatsResponse = message('csi.v1.NodeGetVolumeStatsResponse', {
  usage: listOf(1, VolumeUsage),
  volumeCondition: nested(2, VolumeCondition),
});
export type NodeGetVolumeStatsResponse = MessageOf<typeof NodeGetVolumeStatsResponse>;

export const NodeExpandVolumeRequest = message('csi.v1.NodeExpandVolumeRequest', {
  volumeId: text(1),
  volumePath: text(2),
  capacityRange: nested(3, CapacityRange),
  stagingTargetPath: text(4),
  volumeCapability: nested(5, VolumeCapability),
  secrets: secretMap(6),
});
export type NodeExpandVolumeRequest = MessageOf<typeof NodeExpandVolumeRequest>;

export const NodeExpandVolumeResponse = message('csi.v1.NodeExpandVolumeResponse', { capacityBytes: int64(1) });
export type NodeExpandVolumeResponse = MessageOf<typeof NodeExpandVolumeResponse>;

export const NodeCapabilityName = enumeration('csi.v1.NodeServiceCapability.RPC.Type', {
  UNKNOWN: 0,
  STAGE_UNSTAGE_VOLUME: 1,
  GET_VOLUME_STATS: 2,
  EXPAND_VOLUME: 3,
  VOLUME_CONDITION: 4,
  SINGLE_NODE_MULTI_WRITER: 5,
  VOLUME_MOUNT_GROUP: 6,
});
export type NodeCapabilityName = EnumOf<typeof NodeCapabilityName>;

export const NodeRpc = message('csi.v1.NodeServiceCapability.RPC', { type: choiceOf(1, NodeCapabilityName) });
export type NodeRpc = MessageOf<typeof NodeRpc>;

export const NodeServiceCapability = message('csi.v1.NodeServiceCapability', { ...oneof('type', { rpc: nested(1, NodeRpc) }) });
export type NodeServiceCapability = MessageOf<typeof NodeServiceCapability>;

export const NodeGetCapabilitiesRequest = message('csi.v1.NodeGetCapabilitiesRequest', {});
export type NodeGetCapabilitiesRequest = MessageOf<typeof NodeGetCapabilitiesRequest>;

export const NodeGetCapabilitiesResponse = message('csi.v1.NodeGetCapabilitiesResponse', {
  capabilities: listOf(1, NodeServiceCapability),
});
export type NodeGetCapabilitiesResponse = MessageOf<typeof NodeGetCapabilitiesResponse>;

export const NodeGetInfoRequest = message('csi.v1.NodeGetInfoRequest', {});
export type NodeGetInfoRequest = MessageOf<typeof NodeGetInfoRequest>;

export const NodeGetInfoResponse = message('csi.v1.NodeGetInfoResponse', {
  nodeId: text(1),
  maxVolumesPerNode: int64(2),
  accessibleTopology: nested(3, Topology),
});
export type NodeGetInfoResponse = MessageOf<typeof NodeGetInfoResponse>;

// The service: `Node` in the protocol.
export const Node = service('csi.v1.Node', {
  nodeStageVolume: command(NodeStageVolumeRequest, NodeStageVolumeResponse),
  nodeUnstageVolume: command(NodeUnstageVolumeRequest, NodeUnstageVolumeResponse),
  nodePublishVolume: command(NodePublishVolumeRequest, NodePublishVolumeResponse),
  nodeUnpublishVolume: command(NodeUnpublishVolumeRequest, NodeUnpublishVolumeResponse),
  nodeGetVolumeStats: query(NodeGetVolumeStatsRequest, NodeGetVolumeStatsResponse),
  nodeExpandVolume: command(NodeExpandVolumeRequest, NodeExpandVolumeResponse),
  nodeGetCapabilities: query(NodeGetCapabilitiesRequest, NodeGetCapabilitiesResponse),
  nodeGetInfo: query(NodeGetInfoRequest, NodeGetInfoResponse),
});
