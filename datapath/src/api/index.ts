// The door of the control plane's contract, for other workspaces.
export { withToken, withTokenSent } from './api-token.ts';
export { parseToken } from './token-text.ts';
export { ConductorClient, type CallOptions, type CreateVolumeOptions, type OpenVolumeOptions } from './conductor-client.ts';
export { StoreClient, type StoreCallOptions } from './store-client.ts';
export { exitCodeOf, httpStatusOf, retCodeOf } from './errors.ts';
export { parseHostPort, formatHostPort, type HostPort } from './host-port.ts';
export type * from './model.ts';
export { CONDUCTOR_HTTP_PORT, STORE_HTTP_PORT } from './model.ts';
