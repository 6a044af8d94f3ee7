// The door of pfnbd for its clients in other workspaces.
export { AttachClient, type AttachCallOptions } from './attach-client.ts';
export type { AttachedState, AttachedVolume, AttachRequest } from './model.ts';
