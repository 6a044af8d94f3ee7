// Identifiers as branded numbers and strings, so that a shard can never be passed for a store.
// The numbering is PureFlash's: a volume id has 24 low zero bits, a shard id adds its index at bit 4,
// a replica id its index at bit 0. All stay below 2^53.

declare const brand: unique symbol;
type Branded<T, Name extends string> = T & { readonly [brand]: Name };

export type VolumeId = Branded<number, 'VolumeId'>;
export type StoreId = Branded<number, 'StoreId'>;
export type DiskUuid = Branded<string, 'DiskUuid'>;
export type StoreUuid = Branded<string, 'StoreUuid'>;

export const volumeId = (value: number): VolumeId => value as VolumeId;
export const storeId = (value: number): StoreId => value as StoreId;
export const diskUuid = (value: string): DiskUuid => value as DiskUuid;
export const storeUuid = (value: string): StoreUuid => value as StoreUuid;

/** Volume sequence numbers start at 66, as upstream's database sequence does. */
export const FIRST_VOLUME_SEQUENCE = 66;
export const volumeIdOfSequence = (sequence: number): VolumeId => volumeId(sequence * 2 ** 24);

export const shardIdOf = (volume: VolumeId, shardIndex: number): number => volume + shardIndex * 16;
export const replicaIdOf = (volume: VolumeId, shardIndex: number, replicaIndex: number): number =>
  volume + shardIndex * 16 + replicaIndex;
