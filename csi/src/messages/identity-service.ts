// CSI 1.12: the Identity service.
import { choiceOf, enumeration, listOf, message, nested, oneof, query, service, text, textMap } from './description.ts';
import type { EnumOf, MessageOf } from './description.ts';
import { BoolValue } from './well-known.ts';

export const GetPluginInfoRequest = message('csi.v1.GetPluginInfoRequest', {});
export type GetPluginInfoRequest = MessageOf<typeof GetPluginInfoRequest>;

export const GetPluginInfoResponse = message('csi.v1.GetPluginInfoResponse', {
  name: text(1),
  vendorVersion: text(2),
  manifest: textMap(3),
});
export type GetPluginInfoResponse = MessageOf<typeof GetPluginInfoResponse>;

export const PluginServiceName = enumeration('csi.v1.PluginCapability.Service.Type', {
  UNKNOWN: 0,
  CONTROLLER_SERVICE: 1,
  VOLUME_ACCESSIBILITY_CONSTRAINTS: 2,
  GROUP_CONTROLLER_SERVICE: 3,
  SNAPSHOT_METADATA_SERVICE: 4,
});
export type PluginServiceName = EnumOf<typeof PluginServiceName>;

export const PluginService = message('csi.v1.PluginCapability.Service', { type: choiceOf(1, PluginServiceName) });
export type PluginService = MessageOf<typeof PluginService>;

export const VolumeExpansionName = enumeration('csi.v1.PluginCapability.VolumeExpansion.Type', {
  UNKNOWN: 0,
  ONLINE: 1,
  OFFLINE: 2,
});
export type VolumeExpansionName = EnumOf<typeof VolumeExpansionName>;

export const VolumeExpansion = message('csi.v1.PluginCapability.VolumeExpansion', { type: choiceOf(1, VolumeExpansionName) });
export type VolumeExpansion = MessageOf<typeof VolumeExpansion>;

export const PluginCapability = message('csi.v1.PluginCapability', {
  ...oneof('type', { service: nested(1, PluginService), volumeExpansion: nested(2, VolumeExpansion) }),
});
export type PluginCapability = MessageOf<typeof PluginCapability>;

export const GetPluginCapabilitiesRequest = message('csi.v1.GetPluginCapabilitiesRequest', {});
export type GetPluginCapabilitiesRequest = MessageOf<typeof GetPluginCapabilitiesRequest>;

export const GetPluginCapabilitiesResponse = message('csi.v1.GetPluginCapabilitiesResponse', {
  capabilities: listOf(1, PluginCapability),
});
export type GetPluginCapabilitiesResponse = MessageOf<typeof GetPluginCapabilitiesResponse>;

export const ProbeRequest = message('csi.v1.ProbeRequest', {});
export type ProbeRequest = MessageOf<typeof ProbeRequest>;

export const ProbeResponse = message('csi.v1.ProbeResponse', { ready: nested(1, BoolValue) });
export type ProbeResponse = MessageOf<typeof ProbeResponse>;

export const Identity = service('csi.v1.Identity', {
  getPluginInfo: query(GetPluginInfoRequest, GetPluginInfoResponse),
  getPluginCapabilities: query(GetPluginCapabilitiesRequest, GetPluginCapabilitiesResponse),
  probe: query(ProbeRequest, ProbeResponse),
});
