// The door of the ground floor, for other workspaces.
export { assert, unreachable } from './assert.ts';
export { ERROR_CODES, PfError, errorCodeOf, formatErrorChain, type ErrorCode } from './errors.ts';
export { canonicalJson, type Json, type JsonObject } from './json.ts';
export { GiB, KiB, MiB, TiB, bytesOfQuantity, formatSize, parseSize } from './sizes.ts';
export { formatTable } from './table.ts';
export { PUREFLASH_VERSION } from './version.ts';
