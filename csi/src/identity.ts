// The Identity service: who this driver is, what it has beyond volumes on nodes, and whether it can work now. Served by bin/csi.ts in every mode.
import type { Identity, PluginCapability } from './messages/identity-service.ts';
import type { Draft } from './messages/description.ts';
import type { Call, Handlers } from './rpc/grpc-server.ts';

export const DRIVER_NAME = 'csi.pureflash.io';

export interface IdentityOptions {
  readonly version: string;
  /** False: not yet, ask again. Whatever it throws is the answer to the probe. */
  isReady(call: Call): Promise<boolean>;
}

export function identityHandlers(options: IdentityOptions): Handlers<typeof Identity> {
  const capabilities: Draft<PluginCapability>[] = [
    { service: { type: 'CONTROLLER_SERVICE' } },
    { service: { type: 'VOLUME_ACCESSIBILITY_CONSTRAINTS' } },
    { volumeExpansion: { type: 'ONLINE' } },
  ];
  return {
    getPluginInfo: async () => ({ name: DRIVER_NAME, vendorVersion: options.version }),
    getPluginCapabilities: async () => ({ capabilities }),
    probe: async (_request, call) => ({ ready: { value: await options.isReady(call) } }),
  };
}
