// The door of the volume client.
export { openVolume, VolumeDevice, MAXIMUM_OUTSTANDING } from './volume-device.ts';
export type { OpenVolumeRequest } from './volume-device.ts';
export type { VolumeStats } from './volume-stats.ts';
