// The door of the NBD server library.
export { serveNbd, DEFAULT_LIMITS } from './server.ts';
export type { NbdLimits, NbdServer, NbdServerOptions, NbdWorld } from './server.ts';
export type { NbdExport } from './export.ts';
