// pluginregistration v1: what kubelet asks a plugin through the sockets of its registry folder. (Its package has no version in its name.)
import { command, flag, message, query, service, text, textList } from './description.ts';
import type { MessageOf } from './description.ts';

export const InfoRequest = message('pluginregistration.InfoRequest', {});
export type InfoRequest = MessageOf<typeof InfoRequest>;

export const PluginInfo = message('pluginregistration.PluginInfo', {
  type: text(1),
  name: text(2),
  endpoint: text(3),
  supportedVersions: textList(4),
});
export type PluginInfo = MessageOf<typeof PluginInfo>;

export const RegistrationStatus = message('pluginregistration.RegistrationStatus', { pluginRegistered: flag(1), error: text(2) });
export type RegistrationStatus = MessageOf<typeof RegistrationStatus>;

export const RegistrationStatusResponse = message('pluginregistration.RegistrationStatusResponse', {});
export type RegistrationStatusResponse = MessageOf<typeof RegistrationStatusResponse>;

export const Registration = service('pluginregistration.Registration', {
  getInfo: query(InfoRequest, PluginInfo),
  notifyRegistrationStatus: command(RegistrationStatus, RegistrationStatusResponse),
});
