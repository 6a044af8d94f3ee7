// The value of a flag that names a store's disk: "PATH", or "PATH=SIZE" for a file that is created. Used by pfstore and nbd-serve.
import { parseSize } from '../base/sizes.ts';

export interface NamedDisk {
  readonly path: string;
  readonly createSizeBytes?: number;
  readonly mayErase?: boolean;
}

/** Errors: INVALID_ARGUMENT. */
export function parseDiskFlag(text: string): NamedDisk {
  const equals = text.lastIndexOf('=');
  return equals < 0 ? { path: text } : { path: text.slice(0, equals), createSizeBytes: parseSize(text.slice(equals + 1)) };
}
