// The version of every program of this repository, as it says itself to its peers and to people.
export const PUREFLASH_VERSION = '0.1.0';
