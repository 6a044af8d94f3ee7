// A store's management interface as conductors, other stores and tools see it. One call, one attempt: whoever calls has its own
// queue and its own idea of trying again.
import type { World } from '../world/world.ts';
import { withTokenSent } from './api-token.ts';
import { callRoute } from './call.ts';
import { decodeExtentList, type ExtentList } from './extent-list.ts';
import { parseHostPort, type HostPort } from './host-port.ts';
import type {
  DeleteVolumeReplicaRequest,
  DigestReplicaReply,
  PrepareVolumeReply,
  PrepareVolumeRequest,
  Reply,
  StoreStatusReply,
} from './model.ts';
import { STORE_PATH, STORE_ROUTES, type DigestReplicaParams, type ListExtentsParams } from './routes.ts';

export interface StoreCallOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** Long enough for a store that first lets a promise to an old primary run out. */
const PREPARE_TIMEOUT_MS = 3_000;
const CALL_TIMEOUT_MS = 5_000;
const DIGEST_TIMEOUT_MS = 30_000;

export class StoreClient {
  readonly #world: Pick<World, 'http'>;
  readonly #address: HostPort;

  /** `httpAddress`: the store's management address, "host:port". `token`: the cluster's, where it has one. */
  constructor(world: Pick<World, 'http'>, httpAddress: string, options: { readonly token?: string } = {}) {
    this.#world = options.token === undefined ? world : { http: withTokenSent(world.http, options.token) };
    this.#address = parseHostPort(httpAddress);
  }

  prepareVolume(request: PrepareVolumeRequest, options: StoreCallOptions = {}): Promise<PrepareVolumeReply> {
    return callRoute(this.#target(options, PREPARE_TIMEOUT_MS), 'prepare_volume', STORE_ROUTES.prepare_volume, {}, request);
  }

  /** Frees what the store holds of a volume. */
  deleteVolume(request: DeleteVolumeReplicaRequest, options: StoreCallOptions = {}): Promise<Reply> {
    return callRoute(this.#target(options, CALL_TIMEOUT_MS), 'delete_volume', STORE_ROUTES.delete_volume, {}, request);
  }

  async listExtents(params: ListExtentsParams, options: StoreCallOptions = {}): Promise<ExtentList> {
    const body = await callRoute(this.#target(options, CALL_TIMEOUT_MS), 'list_extents', STORE_ROUTES.list_extents, params, null);
    return decodeExtentList(body);
  }

  digestReplica(params: DigestReplicaParams, options: StoreCallOptions = {}): Promise<DigestReplicaReply> {
    return callRoute(this.#target(options, DIGEST_TIMEOUT_MS), 'digest_replica', STORE_ROUTES.digest_replica, params, null);
  }

  getStatus(options: StoreCallOptions = {}): Promise<StoreStatusReply> {
    return callRoute(this.#target(options, CALL_TIMEOUT_MS), 'get_status', STORE_ROUTES.get_status, {}, null);
  }

  #target(options: StoreCallOptions, timeoutMs: number) {
    return {
      world: this.#world,
      address: this.#address,
      path: STORE_PATH,
      timeoutMs: options.timeoutMs ?? timeoutMs,
      signal: options.signal,
    };
  }
}
