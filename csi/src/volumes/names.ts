// How a name that a caller chose becomes the name of a volume, which is also its id. The cluster's rule for names is narrower than CSI's.

const MAX_LENGTH = 96;
/** The cluster's rule: others than this driver make volumes, too. */
const ID = /^[A-Za-z0-9._-]{1,96}$/;
/** What a volume of this driver may be called without being hashed: no option, and no folder. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$/;
const HASHED_PREFIX = 'csi-';

/** The same volume name for the same name, always. `sha256`: lower-case hex. */
export function volumeNameOf(name: string, sha256: (bytes: Uint8Array) => string): string {
  // A name that looks like a hashed one is hashed, too: nobody can choose a name that another one's hash gives.
  if (NAME.test(name) && !name.startsWith(HASHED_PREFIX)) return name;
  return `${HASHED_PREFIX}${sha256(new TextEncoder().encode(name))}`.slice(0, MAX_LENGTH);
}

/** False: there cannot be a volume of this id. */
export function isVolumeId(id: string): boolean {
  return ID.test(id);
}
