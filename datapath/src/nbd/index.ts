// The door of the NBD server library.
export { serveNbd, DEFAULT_LIMITS } from './server.ts';
export type { NbdLimits, NbdServer, NbdServerOptions, NbdWorld } from './server.ts';
export { transmissionFlagsOf, type NbdExport } from './export.ts';
export type { HandOverOptions } from './hand-over.ts';
export type { NbdSession } from './connection.ts';
