// One secret that everybody who uses a cluster's HTTP interfaces knows, as `authorization: Bearer TOKEN`. Programs put it around their
// world once: whatever they then serve under /s5c/ and /api wants it, and whatever they ask there carries it. Pages for people and
// monitors (/, /metrics, /healthz) stay open. Used by main files; clients take it as an option.
import { PfError } from '../base/errors.ts';
import type { Http, HttpCall, HttpHandler, HttpRequest, HttpResponse, HttpServer } from '../world/http.ts';
import type { World } from '../world/world.ts';
import { errorReply } from './errors.ts';
import { jsonResponse } from './router.ts';
import { CONDUCTOR_PATH, STORE_PATH } from './routes.ts';

const SCHEME = /^Bearer +/i;

/** Requests carry the token, and nothing is served. For clients. */
export function withTokenSent(http: Http, token: string): Http {
  return {
    serve: (host, port, handler) => http.serve(host, port, handler),
    request: (call) => http.request(authorized(call, token)),
  };
}

/** The same world, whose HTTP carries the token and wants it. */
export function withToken(world: World, token: string): World {
  const { ports, clock, turn, random, memory, disks, network, files, processes, log } = world;
  const { kernel, fuse, loopDevices, ublk } = world;
  const ofMachine = {
    ...(kernel === undefined ? {} : { kernel }),
    ...(fuse === undefined ? {} : { fuse }),
    ...(loopDevices === undefined ? {} : { loopDevices }),
    ...(ublk === undefined ? {} : { ublk }),
  };
  const sha256 = (bytes: Uint8Array): string => world.sha256(bytes);
  const http: Http = {
    serve: (host, port, handler): Promise<HttpServer> => world.http.serve(host, port, guard(handler, token, sha256)),
    request: (call) => world.http.request(authorized(call, token)),
  };
  const ofProgram = { ports, clock, turn, random, memory, disks, network, http, files, processes, log, sha256 };
  return { ...ofProgram, ...ofMachine, close: () => world.close() };
}

function authorized(call: HttpCall, token: string): HttpCall {
  const path = call.target.split('?', 1)[0]!;
  return isGuarded(path) ? { ...call, headers: { ...call.headers, authorization: `Bearer ${token}` } } : call;
}

function guard(handler: HttpHandler, token: string, sha256: (bytes: Uint8Array) => string): HttpHandler {
  const wanted = sha256(new TextEncoder().encode(token));
  return async (request) => {
    if (!isGuarded(request.path)) return handler(request);
    const header = request.headers.get('authorization') ?? '';
    if (!SCHEME.test(header)) return refused(request, 'it carries no token');
    const given = sha256(new TextEncoder().encode(header.replace(SCHEME, '').trim()));
    return isSameDigest(given, wanted) ? handler(request) : refused(request, 'it carries another token');
  };
}

/** Everything at and under the operations' paths, whatever a handler makes of it. */
function isGuarded(path: string): boolean {
  return [CONDUCTOR_PATH, STORE_PATH].some((open) => {
    const root = open.replace(/\/$/, '');
    return path === root || path.startsWith(`${root}/`);
  });
}

/** Takes as long for every pair: how far two digests agree must not show, and says nothing of the tokens anyway. */
function isSameDigest(one: string, other: string): boolean {
  let difference = one.length ^ other.length;
  for (let at = 0; at < other.length; at += 1) difference |= one.charCodeAt(at) ^ other.charCodeAt(at);
  return difference === 0;
}

function refused(request: HttpRequest, why: string): HttpResponse {
  const op = request.query.get('op') ?? '';
  const error = new PfError(
    'PERMISSION_DENIED',
    `this cluster wants its token with every request, and ${why}: give the file that holds it with --token-file, or send "authorization: Bearer TOKEN"`,
  );
  const reply = errorReply(/^[a-z0-9_]{1,64}$/.test(op) ? op : 'unknown', 'PERMISSION_DENIED', error);
  return { ...jsonResponse(401, reply), headers: { 'www-authenticate': 'Bearer' } };
}
