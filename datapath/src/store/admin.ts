// The store's management interface: the operations of api/routes.ts STORE_ROUTES at /api, /metrics for Prometheus, /healthz.
import { createRouter, type Handlers } from '../api/router.ts';
import { STORE_PATH, STORE_ROUTES } from '../api/routes.ts';
import type { StoreShardStatus, StoreStatusReply } from '../api/model.ts';
import { PfError, formatErrorChain } from '../base/errors.ts';
import type { HttpHandler, HttpResponse } from '../world/http.ts';
import type { World } from '../world/world.ts';
import { answerExtents } from './extent-answer.ts';
import { digestObject } from './replica-digest.ts';
import type { Shard } from './shard.ts';
import type { Volumes } from './volumes.ts';

/** How long prepare_volume waits for writes to drain before it answers; a promise that runs longer is reported by the next push. */
const SETTLE_MS = 100;
const SETTLE_STEP_MS = 5;

export interface AdminPorts {
  readonly world: World;
  readonly volumes: Volumes;
  readonly storeId: () => number;
  readonly setClusterToken: (token: number) => void;
  readonly status: () => Omit<StoreStatusReply, 'op' | 'ret_code' | 'shards'>;
  readonly metricsText: () => string;
  /** Forgets the volume and frees its space. */
  readonly deleteVolume: (volumeId: number) => Promise<void>;
}

export function createAdminHandler(ports: AdminPorts): HttpHandler {
  const api = createRouter(STORE_ROUTES, handlersOf(ports), (op, error) => {
    ports.world.log.error('an operation failed in a way nobody expected', { op, error: formatErrorChain(error) });
  });
  return (request) => {
    if (request.path === STORE_PATH || request.path === `${STORE_PATH}/`) return api(request);
    return Promise.resolve(plainPage(ports, request.path));
  };
}

function handlersOf(ports: AdminPorts): Handlers<typeof STORE_ROUTES> {
  const { volumes, world } = ports;
  return {
    async prepare_volume(_params, body) {
      checkStore(ports, body.store_id, 'prepare a volume');
      ports.setClusterToken(body.cluster_token);
      volumes.apply(body.volume);
      const deadline = world.clock.now() + SETTLE_MS;
      while (!volumes.isSettled(body.volume.volume_id) && world.clock.now() < deadline) await world.clock.sleep(SETTLE_STEP_MS);
      return volumes.reply(body.volume);
    },
    async delete_volume(_params, body) {
      checkStore(ports, body.store_id, 'delete a volume');
      await ports.deleteVolume(body.volume_id);
      return { op: 'delete_volume_reply', ret_code: 0 };
    },
    list_extents: (params) => answerExtents(findShard(volumes, params.volume_id, params.shard_index), params),
    async digest_replica(params) {
      const shard = findShard(volumes, params.volume_id, params.shard_index);
      const { sha256, writtenBlocks } = await digestObject(shard, params.object_index);
      return { op: 'digest_replica_reply', ret_code: 0, meta_ver: shard.role.metaVersion, sha256, written_blocks: writtenBlocks };
    },
    get_status: () => ({
      op: 'get_status_reply',
      ret_code: 0,
      ...ports.status(),
      shards: [...volumes.shards()].map(describeShard),
    }),
  };
}

function checkStore(ports: AdminPorts, wanted: number, what: string): void {
  const own = ports.storeId();
  if (own === 0) throw new PfError('NOT_READY', `cannot ${what}: this store has not been registered yet; ask again soon`);
  if (own !== wanted)
    throw new PfError(
      'INVALID_ARGUMENT',
      `cannot ${what}: the request is for store ${wanted}, this is store ${own}; look up its address again`,
    );
}

function findShard(volumes: Volumes, volumeId: number, index: number): Shard {
  const shard = volumes.find(volumeId)?.shards[index];
  if (shard) return shard;
  throw new PfError(
    'NOT_FOUND',
    `this store has no replica of shard ${index} of volume ${volumeId}, or has not been told of it yet`,
  );
}

export function describeShard(shard: Shard): StoreShardStatus {
  return {
    volume_id: shard.volumeId,
    index: shard.index,
    meta_ver: shard.role.metaVersion,
    attach_epoch: shard.attachEpoch,
    role: shard.role.role === 'PRIMARY' ? 'PRIMARY' : 'SECONDARY',
    state: shard.state,
  };
}

function plainPage(ports: AdminPorts, path: string): HttpResponse {
  if (path === '/metrics') return text(200, ports.metricsText(), 'text/plain; version=0.0.4');
  if (path !== '/healthz') return text(404, `there is nothing at ${path.slice(0, 100)}: use /api, /metrics or /healthz\n`);
  const failed = ports.status().disks.find((disk) => disk.status !== 'OK');
  return failed === undefined ? text(200, 'ok\n') : text(503, `disk ${failed.device} has failed\n`);
}

function text(status: number, content: string, contentType = 'text/plain'): HttpResponse {
  return { status, contentType, body: new TextEncoder().encode(content) };
}
