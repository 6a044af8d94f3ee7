// The conductor's commands: what is written to the log, and all that ever changes the cluster's state.
// A command carries every choice that was made (tokens, placement), so that applying it needs no randomness and no clock.
// History of the encoding (JSON): version 1. Since then only added to: resize_volume, put_node, remove_node, attach_volume, release_volume,
// end_attachment, release_reader, raise_epoch's client, takenFrom and attachment, attach_volume's isShared, delete_volume's force, a store's
// replicationAddress. Records without them mean what they always meant.
import { PfError } from '../../base/errors.ts';
import {
  attachmentField,
  MAX_DISKS_IN_STORE,
  MAX_REPLICAS,
  MAX_SHARDS_IN_VOLUME,
  MAX_VOLUME_BYTES,
  MIN_SHARD_BYTES,
  epochField,
  idField,
  metaVersionField,
  replicaStatusField,
  storeIdField,
} from '../../api/bodies.ts';
import {
  addressField,
  clientField,
  flagField,
  listOf,
  nameField,
  oneOf,
  nullable,
  optional,
  recordOf,
  textField,
  uuidField,
  wholeNumber,
  type Field,
  type Fields,
} from '../../api/fields.ts';
import type { ReplicaStatus } from '../../api/model.ts';
import type { DiskRecord, NodeRecord, StoreFacts } from './cluster-state.ts';

/** One shard's next configuration. `metaVersion` is the one it replaces. */
export interface ShardChange {
  readonly volumeId: number;
  readonly shardIndex: number;
  readonly metaVersion: number;
  readonly primary: number;
  /** By replica index. OUT_OF_SYNC or RECOVERING never becomes IN_SYNC here: only finish_recovery does that. */
  readonly statuses: readonly ReplicaStatus[];
}

export interface Placement {
  readonly primary: number;
  /** By replica index. */
  readonly replicas: readonly { readonly storeId: number; readonly diskUuid: string }[];
}

export type Command =
  | { readonly kind: 'create_cluster'; readonly uuid: string; readonly name: string; readonly token: number }
  /** Registers a store, or updates what it says of itself while its incarnation and addresses stay. */
  | { readonly kind: 'put_store'; readonly store: StoreFacts }
  /** All or nothing: new incarnations (or addresses) of stores, with the shard changes that follow from them. */
  | { readonly kind: 'reconfigure'; readonly stores: readonly StoreFacts[]; readonly changes: readonly ShardChange[] }
  | {
      readonly kind: 'finish_recovery';
      readonly volumeId: number;
      readonly shardIndex: number;
      readonly replicaIndex: number;
      readonly metaVersion: number;
    }
  | {
      readonly kind: 'create_volume';
      readonly name: string;
      readonly sizeBytes: number;
      readonly shardSizeBytes: number;
      readonly replicaCount: number;
      readonly token: number;
      readonly requestId: string;
      readonly shards: readonly Placement[];
    }
  /** Larger only, and only while it has `fromSizeBytes`; `shards` places the additional ones. */
  | {
      readonly kind: 'resize_volume';
      readonly volumeId: number;
      readonly fromSizeBytes: number;
      readonly sizeBytes: number;
      readonly shards: readonly Placement[];
    }
  /** A machine that can attach volumes, or can no more. */
  | { readonly kind: 'put_node'; readonly node: NodeRecord }
  | { readonly kind: 'remove_node'; readonly name: string }
  /** Its value is the attachment's number. Raises the epoch for a new writer. */
  | {
      readonly kind: 'attach_volume';
      readonly volumeId: number;
      readonly client: string;
      readonly isReadOnly: boolean;
      readonly isShared?: boolean;
    }
  /**
   * `client` alone: that one writes from now on. `client` and `attachment`: only while that attachment is that client's. `takenFrom`: only
   * while that one writes (with `attachment`: by that one), and its attachment is ending from now on.
   */
  | {
      readonly kind: 'raise_epoch';
      readonly volumeId: number;
      readonly client?: string;
      readonly takenFrom?: string;
      readonly attachment?: number;
    }
  /** Who wrote it alone writes it no more, unless the epoch has been raised since. */
  | { readonly kind: 'release_volume'; readonly volumeId: number; readonly attachEpoch: number }
  /** An ending attachment has ended: no request of its holder can succeed any more. */
  | { readonly kind: 'end_attachment'; readonly volumeId: number; readonly attachment: number }
  | { readonly kind: 'release_reader'; readonly volumeId: number; readonly client: string }
  /** Also of a volume that somebody has attached with `force`. */
  | { readonly kind: 'delete_volume'; readonly volumeId: number; readonly force?: boolean }
  /** A store has freed its part of a deleted volume. */
  | { readonly kind: 'finish_deletion'; readonly volumeId: number; readonly storeId: number };

const VERSION = 1;

export function encodeCommand(command: Command): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ version: VERSION, ...command }));
}

/** Throws CORRUPT for anything that encodeCommand did not write. */
export function decodeCommand(bytes: Uint8Array): Command {
  try {
    return parseCommand(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)));
  } catch (error) {
    throw new PfError(
      'CORRUPT',
      "a record of the conductor's log is no command of this version; start the version that wrote it",
      { cause: error },
    );
  }
}

/** Throws INVALID_ARGUMENT, saying which field is wrong. */
export function parseCommand(value: unknown): Command {
  const { version, kind } = headField.fromJson(value, 'command');
  if (version !== VERSION) throw new PfError('INVALID_ARGUMENT', `command version ${version}, ${VERSION} wanted`);
  return (FIELDS[kind] as Field<Command>).fromJson(value, kind);
}

type KindOf<K extends Command['kind']> = Extract<Command, { kind: K }>;

const replicaIndexField = wholeNumber(0, MAX_REPLICAS - 1);
const shardIndexField = wholeNumber(0, MAX_SHARDS_IN_VOLUME - 1);
const bytesField = wholeNumber(0, Number.MAX_SAFE_INTEGER);
const volumeBytesField = wholeNumber(4096, MAX_VOLUME_BYTES);

const storeFactsField = recordOf<StoreFacts>({
  uuid: uuidField,
  incarnation: textField(64),
  host: nameField,
  dataAddress: addressField,
  replicationAddress: optional(nullable(addressField), null),
  httpAddress: addressField,
  version: textField(64),
  disks: listOf(
    recordOf<DiskRecord>({
      uuid: uuidField,
      device: textField(1024),
      status: oneOf('OK', 'ERROR'),
      rawCapacity: bytesField,
      objectSize: bytesField,
    }),
    MAX_DISKS_IN_STORE,
  ),
});

const shardChangeField = recordOf<ShardChange>({
  volumeId: idField,
  shardIndex: shardIndexField,
  metaVersion: metaVersionField,
  primary: replicaIndexField,
  statuses: listOf(replicaStatusField, MAX_REPLICAS),
});

const placementField = recordOf<Placement>({
  primary: replicaIndexField,
  replicas: listOf(recordOf<{ storeId: number; diskUuid: string }>({ storeId: storeIdField, diskUuid: uuidField }), MAX_REPLICAS),
});

const FIELDS: { readonly [K in Command['kind']]: Field<KindOf<K>> } = {
  create_cluster: command('create_cluster', { uuid: uuidField, name: nameField, token: idField }),
  put_store: command('put_store', { store: storeFactsField }),
  reconfigure: command('reconfigure', { stores: listOf(storeFactsField, 0xffff), changes: listOf(shardChangeField, 10_000_000) }),
  finish_recovery: command('finish_recovery', {
    volumeId: idField,
    shardIndex: shardIndexField,
    replicaIndex: replicaIndexField,
    metaVersion: metaVersionField,
  }),
  create_volume: command('create_volume', {
    name: nameField,
    sizeBytes: volumeBytesField,
    shardSizeBytes: wholeNumber(MIN_SHARD_BYTES, MAX_VOLUME_BYTES),
    replicaCount: wholeNumber(1, MAX_REPLICAS),
    token: idField,
    requestId: textField(64),
    shards: listOf(placementField, MAX_SHARDS_IN_VOLUME),
  }),
  resize_volume: command('resize_volume', {
    volumeId: idField,
    fromSizeBytes: volumeBytesField,
    sizeBytes: volumeBytesField,
    shards: listOf(placementField, MAX_SHARDS_IN_VOLUME),
  }),
  put_node: command('put_node', { node: recordOf<NodeRecord>({ name: clientField, version: textField(64) }) }),
  remove_node: command('remove_node', { name: clientField }),
  attach_volume: command('attach_volume', {
    volumeId: idField,
    client: clientField,
    isReadOnly: flagField,
    isShared: optional(flagField, undefined),
  }),
  raise_epoch: command('raise_epoch', {
    volumeId: idField,
    client: optional(clientField, undefined),
    takenFrom: optional(clientField, undefined),
    attachment: optional(attachmentField, undefined),
  }),
  release_volume: command('release_volume', { volumeId: idField, attachEpoch: epochField }),
  end_attachment: command('end_attachment', { volumeId: idField, attachment: attachmentField }),
  release_reader: command('release_reader', { volumeId: idField, client: clientField }),
  delete_volume: command('delete_volume', { volumeId: idField, force: optional(flagField, undefined) }),
  finish_deletion: command('finish_deletion', { volumeId: idField, storeId: storeIdField }),
};

const headField = recordOf<{ version: number; kind: Command['kind'] }>({
  version: epochField,
  kind: oneOf(...(Object.keys(FIELDS) as Command['kind'][])),
});

function command<K extends Command['kind']>(kind: K, fields: Fields<Omit<KindOf<K>, 'kind'>>): Field<KindOf<K>> {
  return recordOf({ kind: oneOf(kind), ...fields } as unknown as Fields<KindOf<K>>);
}
