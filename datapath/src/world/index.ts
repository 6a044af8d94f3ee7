// The door of the world: its ports, and the one function that opens the real one.
export type * from './clock.ts';
export type { Completion } from './completion.ts';
export type * from './disk.ts';
export type * from './files.ts';
export type * from './fuse.ts';
export type * from './http.ts';
export type * from './kernel.ts';
export type * from './log.ts';
export type * from './loop-devices.ts';
export type { IoMemory } from './memory.ts';
export type * from './network.ts';
export type * from './processes.ts';
export type * from './random.ts';
export type * from './ublk.ts';
export type { World } from './world.ts';
export { jsonLogger } from './node/console-log.ts';
export { openNodeWorld, type NodeWorldOptions } from './node/node-world.ts';
