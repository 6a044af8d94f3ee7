// The conductor's HTTP door: operations under /s5c/, a page for people at /, numbers at /metrics, a probe at /healthz.
// A conductor that does not lead answers operations with NOT_READY and says who leads.
import { PfError, formatErrorChain } from '../base/errors.ts';
import { errorReply, httpStatusOf } from '../api/errors.ts';
import { createRouter, jsonResponse, type Handlers } from '../api/router.ts';
import { CONDUCTOR_ROUTES } from '../api/routes.ts';
import type { HttpHandler, HttpResponse } from '../world/http.ts';
import type { ConductorContext } from './context.ts';
import { getCluster, listDisk, listStore } from './handlers/cluster.ts';
import { handleError, heartbeat, recoveryDone, stillAlive } from './handlers/store-reports.ts';
import { attachVolume, closeVolume, detachVolume, openVolume } from './handlers/attachments.ts';
import { listNode, putNode, removeNode } from './handlers/nodes.ts';
import {
  checkVolumeExists,
  createVolume,
  deleteVolume,
  getVolume,
  getVolumes,
  listVolume,
  resizeVolume,
} from './handlers/volumes.ts';
import { renderMetrics } from './metrics.ts';
import { renderStatusPage } from './status-page.ts';

export function createDoor(context: ConductorContext): HttpHandler {
  const handlers: Handlers<typeof CONDUCTOR_ROUTES> = {
    heartbeat: (_params, body) => heartbeat(context, body),
    still_alive: (params) => stillAlive(context, params),
    handle_error: (_params, body) => handleError(context, body),
    recovery_done: (_params, body) => recoveryDone(context, body),
    create_volume: (params) => createVolume(context, params),
    resize_volume: (params) => resizeVolume(context, params),
    put_node: (params) => putNode(context, params),
    remove_node: (params) => removeNode(context, params),
    list_node: () => listNode(context),
    attach_volume: (params) => attachVolume(context, params),
    open_volume: (params) => openVolume(context, params),
    close_volume: (params) => closeVolume(context, params),
    detach_volume: (params) => detachVolume(context, params),
    delete_volume: (params) => deleteVolume(context, params),
    list_volume: () => listVolume(context),
    get_volumes: (_params, body) => getVolumes(context, body),
    get_volume: (params) => getVolume(context, params),
    check_volume_exists: (params) => checkVolumeExists(context, params),
    list_store: () => listStore(context),
    list_disk: () => listDisk(context),
    get_cluster: () => getCluster(context),
  };
  const route = createRouter(CONDUCTOR_ROUTES, handlers, (op, error) => {
    context.world.log.error(`${op} failed: ${formatErrorChain(error)}`, error instanceof Error ? { stack: error.stack } : {});
  });
  return async (request) => {
    if (request.path === '/s5c/' || request.path === '/s5c') {
      return context.engine.isLeader ? route(request) : notLeading(context);
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') return text(405, 'text/plain', 'only GET is possible here\n');
    if (request.path === '/') return text(200, 'text/html', renderStatusPage(context));
    if (request.path === '/metrics') return text(200, 'text/plain; version=0.0.4', renderMetrics(context));
    if (request.path === '/healthz') return text(200, 'text/plain', 'ok\n');
    return text(404, 'text/plain', 'not found: try /, /s5c/?op=list_volume, /metrics or /healthz\n');
  };
}

function notLeading(context: ConductorContext): HttpResponse {
  const { leaderHint } = context.engine;
  const error = new PfError('NOT_READY', `this conductor does not lead: ask ${leaderHint ?? 'another one'}`);
  return jsonResponse(httpStatusOf('NOT_READY'), { ...errorReply('unknown', 'NOT_READY', error), leader: leaderHint });
}

function text(status: number, contentType: string, content: string): HttpResponse {
  const type = contentType.includes(';') ? contentType : `${contentType}; charset=utf-8`;
  return { status, contentType: type, body: new TextEncoder().encode(content) };
}
