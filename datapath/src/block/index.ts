// The door of the narrow waist: the interface, and the devices that need no cluster.
export * from './device.ts';
export { DiskDevice, type DiskDeviceOptions } from './disk-device.ts';
export { MemoryDevice, type MemoryDeviceOptions } from './memory-device.ts';
