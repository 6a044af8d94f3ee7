// The control plane's operations, each declared once: name, method, parameters with limits, body, reply. Servers build their
// handlers from these tables (router.ts), clients their calls (call.ts). Conventions are PureFlash's: /s5c/?op=<op>&k=v at the
// conductor, /api?op=<op>&k=v at a store, snake_case; errors carry proper HTTP statuses.
// Operations without a body may be sent as GET or POST; those with one are POST.
import {
  attachmentField,
  MAX_REPLICAS,
  MAX_SHARDS_IN_VOLUME,
  MAX_VOLUME_BYTES,
  MIN_SHARD_BYTES,
  deleteVolumeReplicaField,
  epochField,
  getVolumesField,
  handleErrorField,
  heartbeatField,
  idField,
  openFlags,
  prepareVolumeField,
  recoveryDoneField,
  storeIdField,
} from './bodies.ts';
import { clientField, flagField, nameField, optional, textField, wholeNumber, type Field, type Fields } from './fields.ts';
import type {
  AttachVolumeReply,
  CreateVolumeReply,
  DeleteVolumeReply,
  DigestReplicaReply,
  GetClusterReply,
  GetVolumeReply,
  HandleErrorReply,
  HeartbeatReply,
  ListDiskReply,
  ListNodeReply,
  ListStoreReply,
  ListVolumeReply,
  OpenVolumeReply,
  PrepareVolumeReply,
  RecoveryDoneReply,
  ReleaseVolumeReply,
  Reply,
  ResizeVolumeReply,
  StoreStatusReply,
} from './model.ts';

export const CONDUCTOR_PATH = '/s5c/';
export const STORE_PATH = '/api';

export interface Route<Params, Body, Answer> {
  readonly method: 'GET' | 'POST';
  readonly params: Fields<Params>;
  readonly body: Field<Body> | null;
  /** 'json': Answer is an object; 'binary': Answer is bytes. */
  readonly answer: 'json' | 'binary';
  /** Type only: what the operation answers. */
  readonly reply?: Answer;
}

export type RouteTable = Readonly<Record<string, Route<never, never, unknown>>>;
export type ParamsOf<R> = R extends Route<infer Params, infer _Body, infer _Answer> ? Params : never;
export type BodyOf<R> = R extends Route<infer _Params, infer Body, infer _Answer> ? Body : never;
export type AnswerOf<R> = R extends Route<infer _Params, infer _Body, infer Answer> ? Answer : never;

const volume_name = nameField;

/** A heartbeat of a store that has nothing new to tell since its last full one. */
export interface StillAliveParams {
  readonly store_id: number;
  readonly incarnation: string;
  /** Of the full heartbeat that still says it all. */
  readonly report: number;
}

export interface CreateVolumeParams {
  readonly volume_name: string;
  readonly size: number;
  readonly rep_cnt: number;
  /** 0: the cluster's default. */
  readonly shard_size: number;
  /** Makes a re-sent creation answer like the first one. */
  readonly request_id: string;
}

export interface OpenVolumeParams {
  readonly volume_name: string;
  readonly read_only: boolean;
  readonly attach_epoch: number | null;
  /** Who will have it attached for writing. */
  readonly client: string;
  /** Of attach_volume: the volume is opened only while that attachment lasts. */
  readonly attachment: number | null;
  /** Asks as that opening of a shared attachment: raises nothing, and is answered only while it is the attachment's latest. */
  readonly opening: number | null;
}

export interface AttachVolumeParams {
  readonly volume_name: string;
  readonly client: string;
  readonly read_only: boolean;
  /** Beside others that attach it so. */
  readonly shared: boolean;
}

export interface CloseVolumeParams {
  readonly volume_name: string;
  /** The volume that was opened: another one may have got its name since. 0: whichever has the name now. */
  readonly volume_id: number;
  /** What the client held: an older epoch than the current one closes nothing. */
  readonly attach_epoch: number;
}

export interface DetachVolumeParams {
  readonly volume_name: string;
  /** Only while this one has it attached; empty: whoever has. */
  readonly client: string;
}

export interface DeleteVolumeParams {
  readonly volume_name: string;
  /** Also while somebody has it attached for writing. */
  readonly force: boolean;
}

export interface ListExtentsParams {
  readonly volume_id: number;
  readonly shard_index: number;
  /** First object of interest. */
  readonly from_object: number;
  /** Only extents whose stamp's sequence is above this. */
  readonly above: number;
}

export interface DigestReplicaParams {
  readonly volume_id: number;
  readonly shard_index: number;
  readonly object_index: number;
}

const shardIndexField = wholeNumber(0, MAX_SHARDS_IN_VOLUME - 1);

export const CONDUCTOR_ROUTES = {
  heartbeat: post<typeof heartbeatField, HeartbeatReply>(heartbeatField),
  still_alive: get<StillAliveParams, Reply>({
    store_id: storeIdField,
    incarnation: textField(64),
    report: wholeNumber(0, Number.MAX_SAFE_INTEGER),
  }),
  handle_error: post<typeof handleErrorField, HandleErrorReply>(handleErrorField),
  recovery_done: post<typeof recoveryDoneField, RecoveryDoneReply>(recoveryDoneField),
  create_volume: get<CreateVolumeParams, CreateVolumeReply>({
    volume_name,
    size: wholeNumber(4096, MAX_VOLUME_BYTES),
    rep_cnt: optional(wholeNumber(1, MAX_REPLICAS), 1),
    shard_size: optional(wholeNumber(MIN_SHARD_BYTES, MAX_VOLUME_BYTES), 0),
    request_id: optional(textField(64), ''),
  }),
  resize_volume: get<{ volume_name: string; size: number }, ResizeVolumeReply>({
    volume_name,
    size: wholeNumber(4096, MAX_VOLUME_BYTES),
  }),
  put_node: get<{ node_name: string; version: string }, Reply>({ node_name: clientField, version: textField(64) }),
  remove_node: get<{ node_name: string }, Reply>({ node_name: clientField }),
  list_node: get<object, ListNodeReply>({}),
  attach_volume: get<AttachVolumeParams, AttachVolumeReply>({
    volume_name,
    client: clientField,
    read_only: optional(flagField, false),
    shared: optional(flagField, false),
  }),
  open_volume: get<OpenVolumeParams, OpenVolumeReply>({
    volume_name,
    ...openFlags,
    client: optional(clientField, 'unknown'),
    attachment: optional(attachmentField, null),
    opening: optional(epochField, null),
  }),
  close_volume: get<CloseVolumeParams, ReleaseVolumeReply>({
    volume_name,
    volume_id: optional(idField, 0),
    attach_epoch: epochField,
  }),
  detach_volume: get<DetachVolumeParams, ReleaseVolumeReply>({ volume_name, client: optional(clientField, '') }),
  delete_volume: get<DeleteVolumeParams, DeleteVolumeReply>({ volume_name, force: optional(flagField, false) }),
  list_volume: get<object, ListVolumeReply>({}),
  get_volumes: post<typeof getVolumesField, ListVolumeReply>(getVolumesField),
  get_volume: get<{ volume_name: string }, GetVolumeReply>({ volume_name }),
  check_volume_exists: get<{ volume_name: string }, Reply>({ volume_name }),
  list_store: get<object, ListStoreReply>({}),
  list_disk: get<object, ListDiskReply>({}),
  get_cluster: get<object, GetClusterReply>({}),
} as const;

export const STORE_ROUTES = {
  prepare_volume: post<typeof prepareVolumeField, PrepareVolumeReply>(prepareVolumeField),
  delete_volume: post<typeof deleteVolumeReplicaField, Reply>(deleteVolumeReplicaField),
  list_extents: {
    ...get<ListExtentsParams, Uint8Array>({
      volume_id: idField,
      shard_index: shardIndexField,
      from_object: optional(epochField, 0),
      above: optional(idField, 0),
    }),
    answer: 'binary',
  } as Route<ListExtentsParams, null, Uint8Array>,
  digest_replica: get<DigestReplicaParams, DigestReplicaReply>({
    volume_id: idField,
    shard_index: shardIndexField,
    object_index: epochField,
  }),
  get_status: get<object, StoreStatusReply>({}),
} as const;

function get<Params extends object, Answer>(params: Fields<Params>): Route<Params, null, Answer> {
  return { method: 'GET', params, body: null, answer: 'json' };
}

function post<Body extends Field<unknown>, Answer>(body: Body): Route<object, Body extends Field<infer T> ? T : never, Answer> {
  return { method: 'POST', params: {}, body: body as never, answer: 'json' };
}
