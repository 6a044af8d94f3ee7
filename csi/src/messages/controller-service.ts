// CSI 1.12: the Controller service.
import {
  choiceOf,
  command,
  enumeration,
  flag,
  int32,
  int64,
  listOf,
  message,
  nested,
  oneof,
  query,
  secretMap,
  service,
  text,
  textList,
  textMap,
} from './description.ts';
import type { EnumOf, MessageOf } from './description.ts';
import {
  CreateSnapshotRequest,
  CreateSnapshotResponse,
  DeleteSnapshotRequest,
  DeleteSnapshotResponse,
  GetSnapshotRequest,
  GetSnapshotResponse,
  ListSnapshotsRequest,
  ListSnapshotsResponse,
} from './snapshot-messages.ts';
import {
  CapacityRange,
  Topology,
  TopologyRequirement,
  Volume,
  VolumeCapability,
  VolumeCondition,
  VolumeContentSource,
} from './volume-messages.ts';
import { Int64Value } from './well-known.ts';

export const CreateVolumeRequest = message('csi.v1.CreateVolumeRequest', {
  name: text(1),
  capacityRange: nested(2, CapacityRange),
  volumeCapabilities: listOf(3, VolumeCapability),
  parameters: textMap(4),
  secrets: secretMap(5),
  volumeContentSource: nested(6, VolumeContentSource),
  accessibilityRequirements: nested(7, TopologyRequirement),
  mutableParameters: textMap(8),
});
export type CreateVolumeRequest = MessageOf<typeof CreateVolumeRequest>;

export const CreateVolumeResponse = message('csi.v1.CreateVolumeResponse', { volume: nested(1, Volume) });
export type CreateVolumeResponse = MessageOf<typeof CreateVolumeResponse>;

export const DeleteVolumeRequest = message('csi.v1.DeleteVolumeRequest', { volumeId: text(1), secrets: secretMap(2) });
export type DeleteVolumeRequest = MessageOf<typeof DeleteVolumeRequest>;

export const DeleteVolumeResponse = message('csi.v1.DeleteVolumeResponse', {});
export type DeleteVolumeResponse = MessageOf<typeof DeleteVolumeResponse>;

export const ControllerPublishVolumeRequest = message('csi.v1.ControllerPublishVolumeRequest', {
  volumeId: text(1),
  nodeId: text(2),
  volumeCapability: nested(3, VolumeCapability),
  readonly: flag(4),
  secrets: secretMap(5),
  volumeContext: textMap(6),
});
export type ControllerPublishVolumeRequest = MessageOf<typeof ControllerPublishVolumeRequest>;

export const ControllerPublishVolumeResponse = message('csi.v1.ControllerPublishVolumeResponse', { publishContext: textMap(1) });
export type ControllerPublishVolumeResponse = MessageOf<typeof ControllerPublishVolumeResponse>;

export const ControllerUnpublishVolumeRequest = message('csi.v1.ControllerUnpublishVolumeRequest', {
  volumeId: text(1),
  nodeId: text(2),
  secrets: secretMap(3),
});
export type ControllerUnpublishVolumeRequest = MessageOf<typeof ControllerUnpublishVolumeRequest>;

export const ControllerUnpublishVolumeResponse = message('csi.v1.ControllerUnpublishVolumeResponse', {});
export type ControllerUnpublishVolumeResponse = MessageOf<typeof ControllerUnpublishVolumeResponse>;

export const ValidateVolumeCapabilitiesRequest = message('csi.v1.ValidateVolumeCapabilitiesRequest', {
  volumeId: text(1),
  volumeContext: textMap(2),
  volumeCapabilities: listOf(3, VolumeCapability),
  parameters: textMap(4),
  secrets: secretMap(5),
  mutableParameters: textMap(6),
});
export type ValidateVolumeCapabilitiesRequest = MessageOf<typeof ValidateVolumeCapabilitiesRequest>;

export const ConfirmedCapabilities = message('csi.v1.ValidateVolumeCapabilitiesResponse.Confirmed', {
  volumeContext: textMap(1),
  volumeCapabilities: listOf(2, VolumeCapability),
  parameters: textMap(3),
  mutableParameters: textMap(4),
});
export type ConfirmedCapabilities = MessageOf<typeof ConfirmedCapabilities>;

export const ValidateVolumeCapabilitiesResponse = message('csi.v1.ValidateVolumeCapabilitiesResponse', {
  confirmed: nested(1, ConfirmedCapabilities),
  message: text(2),
});
export type ValidateVolumeCapabilitiesResponse = MessageOf<typeof ValidateVolumeCapabilitiesResponse>;

export const ListVolumesRequest = message('csi.v1.ListVolumesRequest', { maxEntries: int32(1), startingToken: text(2) });
export type ListVolumesRequest = MessageOf<typeof ListVolumesRequest>;

export const ListedVolumeStatus = message('csi.v1.ListVolumesResponse.VolumeStatus', {
  publishedNodeIds: textList(1),
  volumeCondition: nested(2, VolumeCondition),
});
export type ListedVolumeStatus = MessageOf<typeof ListedVolumeStatus>;

export const ListedVolume = message('csi.v1.ListVolumesResponse.Entry', {
  volume: nested(1, Volume),
  status: nested(2, ListedVolumeStatus),
});
export type ListedVolume = MessageOf<typeof ListedVolume>;

export const ListVolumesResponse = message('csi.v1.ListVolumesResponse', {
  entries: listOf(1, ListedVolume),
  nextToken: text(2),
});
export type ListVolumesResponse = MessageOf<typeof ListVolumesResponse>;

export const ControllerGetVolumeRequest = message('csi.v1.ControllerGetVolumeRequest', { volumeId: text(1) });
export type ControllerGetVolumeRequest = MessageOf<typeof ControllerGetVolumeRequest>;

export const VolumeStatus = message('csi.v1.ControllerGetVolumeResponse.VolumeStatus', {
  publishedNodeIds: textList(1),
  volumeCondition: nested(2, VolumeCondition),
});
export type VolumeStatus = MessageOf<typeof VolumeStatus>;

export const ControllerGetVolumeResponse = message('csi.v1.ControllerGetVolumeResponse', {
  volume: nested(1, Volume),
  status: nested(2, VolumeStatus),
});
export type ControllerGetVolumeResponse = MessageOf<typeof ControllerGetVolumeResponse>;

export const ControllerModifyVolumeRequest = message('csi.v1.ControllerModifyVolumeRequest', {
  volumeId: text(1),
  secrets: secretMap(2),
  mutableParameters: textMap(3),
});
export type ControllerModifyVolumeRequest = MessageOf<typeof ControllerModifyVolumeRequest>;

export const ControllerModifyVolumeResponse = message('csi.v1.ControllerModifyVolumeResponse', {});
export type ControllerModifyVolumeResponse = MessageOf<typeof ControllerModifyVolumeResponse>;

export const GetCapacityRequest = message('csi.v1.GetCapacityRequest', {
  volumeCapabilities: listOf(1, VolumeCapability),
  parameters: textMap(2),
  accessibleTopology: nested(3, Topology),
});
export type GetCapacityRequest = MessageOf<typeof GetCapacityRequest>;

export const GetCapacityResponse = message('csi.v1.GetCapacityResponse', {
  availableCapacity: int64(1),
  maximumVolumeSize: nested(2, Int64Value),
  minimumVolumeSize: nested(3, Int64Value),
});
export type GetCapacityResponse = MessageOf<typeof GetCapacityResponse>;

export const ControllerCapabilityName = enumeration('csi.v1.ControllerServiceCapability.RPC.Type', {
  UNKNOWN: 0,
  CREATE_DELETE_VOLUME: 1,
  PUBLISH_UNPUBLISH_VOLUME: 2,
  LIST_VOLUMES: 3,
  GET_CAPACITY: 4,
  CREATE_DELETE_SNAPSHOT: 5,
  LIST_SNAPSHOTS: 6,
  CLONE_VOLUME: 7,
  PUBLISH_READONLY: 8,
  EXPAND_VOLUME: 9,
  LIST_VOLUMES_PUBLISHED_NODES: 10,
  VOLUME_CONDITION: 11,
  GET_VOLUME: 12,
  SINGLE_NODE_MULTI_WRITER: 13,
  MODIFY_VOLUME: 14,
  GET_SNAPSHOT: 15,
});
export type ControllerCapabilityName = EnumOf<typeof ControllerCapabilityName>;

export const ControllerRpc = message('csi.v1.ControllerServiceCapability.RPC', { type: choiceOf(1, ControllerCapabilityName) });
export type ControllerRpc = MessageOf<typeof ControllerRpc>;

export const ControllerServiceCapability = message('csi.v1.ControllerServiceCapability', {
  ...oneof('type', { rpc: nested(1, ControllerRpc) }),
});
export type ControllerServiceCapability = MessageOf<typeof ControllerServiceCapability>;

export const ControllerGetCapabilitiesRequest = message('csi.v1.ControllerGetCapabilitiesRequest', {});
export type ControllerGetCapabilitiesRequest = MessageOf<typeof ControllerGetCapabilitiesRequest>;

export const ControllerGetCapabilitiesResponse = message('csi.v1.ControllerGetCapabilitiesResponse', {
  capabilities: listOf(1, ControllerServiceCapability),
});
export type ControllerGetCapabilitiesResponse = MessageOf<typeof ControllerGetCapabilitiesResponse>;

export const ControllerExpandVolumeRequest = message('csi.v1.ControllerExpandVolumeRequest', {
  volumeId: text(1),
  capacityRange: nested(2, CapacityRange),
  secrets: secretMap(3),
  volumeCapability: nested(4, VolumeCapability),
});
export type ControllerExpandVolumeRequest = MessageOf<typeof ControllerExpandVolumeRequest>;

export const ControllerExpandVolumeResponse = message('csi.v1.ControllerExpandVolumeResponse', {
  capacityBytes: int64(1),
  nodeExpansionRequired: flag(2),
});
export type ControllerExpandVolumeResponse = MessageOf<typeof ControllerExpandVolumeResponse>;

export const Controller = service('csi.v1.Controller', {
  createVolume: command(CreateVolumeRequest, CreateVolumeResponse),
  deleteVolume: command(DeleteVolumeRequest, DeleteVolumeResponse),
  controllerPublishVolume: command(ControllerPublishVolumeRequest, ControllerPublishVolumeResponse),
  controllerUnpublishVolume: command(ControllerUnpublishVolumeRequest, ControllerUnpublishVolumeResponse),
  validateVolumeCapabilities: query(ValidateVolumeCapabilitiesRequest, ValidateVolumeCapabilitiesResponse),
  listVolumes: query(ListVolumesRequest, ListVolumesResponse),
  getCapacity: query(GetCapacityRequest, GetCapacityResponse),
  controllerGetCapabilities: query(ControllerGetCapabilitiesRequest, ControllerGetCapabilitiesResponse),
  createSnapshot: command(CreateSnapshotRequest, CreateSnapshotResponse),
  deleteSnapshot: command(DeleteSnapshotRequest, DeleteSnapshotResponse),
  listSnapshots: query(ListSnapshotsRequest, ListSnapshotsResponse),
  getSnapshot: query(GetSnapshotRequest, GetSnapshotResponse),
  controllerExpandVolume: command(ControllerExpandVolumeRequest, ControllerExpandVolumeResponse),
  controllerGetVolume: query(ControllerGetVolumeRequest, ControllerGetVolumeResponse),
  controllerModifyVolume: command(ControllerModifyVolumeRequest, ControllerModifyVolumeResponse),
});
