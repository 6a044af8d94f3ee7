// Parsers of the JSON bodies in model.ts, with their limits. Used by the route table; volumeConfigField also by clients,
// which read a layout from a conductor's answer with it.
import { MiB, TiB } from '../base/sizes.ts';
import {
  addressField,
  flagField,
  listOf,
  nameField,
  nullable,
  oneOf,
  optional,
  recordOf,
  textField,
  uuidField,
  wholeNumber,
  type Fields,
} from './fields.ts';
import type {
  DeleteVolumeReplicaRequest,
  DiskReport,
  GetVolumesRequest,
  HandleErrorRequest,
  HeartbeatRequest,
  OpenedVolumeConfig,
  PrepareVolumeRequest,
  RecoveryDoneRequest,
  ReplicaConfig,
  ShardConfig,
  VolumeConfig,
} from './model.ts';

export const MAX_VOLUME_BYTES = 64 * TiB;
export const MIN_SHARD_BYTES = 64 * MiB;
export const MAX_SHARDS_IN_VOLUME = 4096;
export const MAX_REPLICAS = 3;
export const MAX_DISKS_IN_STORE = 256;
/** More than a node has devices for. */
const MAX_NAMES_ASKED = 65_536;
const U32_MAX = 0xffffffff;

export const idField = wholeNumber(0, Number.MAX_SAFE_INTEGER);
export const storeIdField = wholeNumber(1, 0xffff);
export const epochField = wholeNumber(0, U32_MAX);
export const metaVersionField = wholeNumber(1, U32_MAX);
const bytesField = wholeNumber(0, Number.MAX_SAFE_INTEGER);
export const replicaStatusField = oneOf('IN_SYNC', 'RECOVERING', 'OUT_OF_SYNC');
const healthField = oneOf('OK', 'DEGRADED', 'ERROR');

const replicaConfigField = recordOf<ReplicaConfig>({
  id: idField,
  index: wholeNumber(0, MAX_REPLICAS - 1),
  store_id: storeIdField,
  disk_uuid: uuidField,
  status: replicaStatusField,
  address: addressField,
  http_address: addressField,
});

const shardConfigField = recordOf<ShardConfig>({
  index: wholeNumber(0, MAX_SHARDS_IN_VOLUME - 1),
  meta_ver: metaVersionField,
  primary_rep_index: wholeNumber(0, MAX_REPLICAS - 1),
  status: healthField,
  replicas: listOf(replicaConfigField, MAX_REPLICAS),
});

const volumeConfigFields: Fields<VolumeConfig> = {
  volume_name: nameField,
  volume_id: idField,
  volume_size: wholeNumber(4096, MAX_VOLUME_BYTES),
  shard_size: wholeNumber(MIN_SHARD_BYTES, MAX_VOLUME_BYTES),
  rep_count: wholeNumber(1, MAX_REPLICAS),
  attach_epoch: epochField,
  token: idField,
  status: healthField,
  shards: listOf(shardConfigField, MAX_SHARDS_IN_VOLUME),
};

export const volumeConfigField = recordOf<VolumeConfig>(volumeConfigFields);

export const openedVolumeField = recordOf<OpenedVolumeConfig>({
  ...volumeConfigFields,
  opening: optional(nullable(epochField), null),
});

export const diskReportField = recordOf<DiskReport>({
  uuid: uuidField,
  device: textField(1024),
  status: oneOf('OK', 'ERROR'),
  raw_capacity: bytesField,
  free: bytesField,
  object_size: wholeNumber(4096, MAX_VOLUME_BYTES),
});

export const prepareVolumeField = recordOf<PrepareVolumeRequest>({
  op: oneOf('prepare_volume'),
  volume: volumeConfigField,
  cluster_token: idField,
  store_id: storeIdField,
});

export const deleteVolumeReplicaField = recordOf<DeleteVolumeReplicaRequest>({
  op: oneOf('delete_volume'),
  volume_id: idField,
  store_id: storeIdField,
});

export const heartbeatField = recordOf<HeartbeatRequest>({
  op: oneOf('heartbeat'),
  report: optional(wholeNumber(0, Number.MAX_SAFE_INTEGER), 0),
  store_uuid: uuidField,
  incarnation: textField(64),
  host: nameField,
  data_address: addressField,
  replication_address: optional(nullable(addressField), null),
  http_address: addressField,
  disks: listOf(diskReportField, MAX_DISKS_IN_STORE),
  version: textField(64),
});

export const getVolumesField = recordOf<GetVolumesRequest>({
  op: oneOf('get_volumes'),
  names: listOf(nameField, MAX_NAMES_ASKED),
});

const replicaReport = {
  store_id: storeIdField,
  incarnation: textField(64),
  rep_id: idField,
  meta_ver: metaVersionField,
};

export const handleErrorField = recordOf<HandleErrorRequest>({
  op: oneOf('handle_error'),
  ...replicaReport,
  sc: wholeNumber(0, 0xffff),
});

export const recoveryDoneField = recordOf<RecoveryDoneRequest>({ op: oneOf('recovery_done'), ...replicaReport });

/** Answers of handle_error and recovery_done. */
export const configAnswerField = recordOf<{ op: string; ret_code: number; reason: string; volume: VolumeConfig | null }>({
  op: textField(64),
  ret_code: wholeNumber(0, 0xffff),
  reason: optional(textField(4096), ''),
  volume: nullable(volumeConfigField),
});

export const openFlags = { read_only: optional(flagField, false), attach_epoch: optional(epochField, null) };

/** The number of an attachment. */
export const attachmentField = wholeNumber(1, Number.MAX_SAFE_INTEGER);
