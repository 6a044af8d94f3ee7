// One control-plane call to one address, typed by its route: builds the target, decodes the answer, turns error replies into
// PfError. Used by ConductorClient and StoreClient.
import { PfError } from '../base/errors.ts';
import type { HttpResponse } from '../world/http.ts';
import type { World } from '../world/world.ts';
import { errorOfReply } from './errors.ts';
import type { HostPort } from './host-port.ts';
import type { Route } from './routes.ts';

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder();

export interface CallTarget {
  readonly world: Pick<World, 'http'>;
  readonly address: HostPort;
  /** CONDUCTOR_PATH or STORE_PATH. */
  readonly path: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Parameters that are null or undefined are left out. Errors: what the peer answered, or CONNECTION_LOST, TIMEOUT,
 * PROTOCOL_ERROR from the transport. A reply with ret_code other than 0 is an error, except INVALID_STATE with a `volume` in it,
 * which is how a conductor hands the current configuration to a store that had an old one.
 */
export async function callRoute<Params, Body, Answer>(
  target: CallTarget,
  op: string,
  route: Route<Params, Body, Answer>,
  params: Partial<Params>,
  body: Body,
): Promise<Answer> {
  const response = await target.world.http.request({
    method: route.method,
    host: target.address.host,
    port: target.address.port,
    target: `${target.path}?${queryOf(op, params)}`,
    timeoutMs: target.timeoutMs,
    ...(route.body === null ? {} : { body: ENCODER.encode(JSON.stringify(body)), contentType: 'application/json' }),
    ...(target.signal === undefined ? {} : { signal: target.signal }),
  });
  if (route.answer === 'binary' && response.status === 200) return response.body as Answer;
  return readReply(op, response) as Answer;
}

function queryOf(op: string, params: object): string {
  let query = `op=${encodeURIComponent(op)}`;
  for (const [key, value] of Object.entries(params)) {
    if (value !== null && value !== undefined) query += `&${encodeURIComponent(key)}=${encodeURIComponent(String(value))}`;
  }
  return query;
}

function readReply(op: string, response: HttpResponse): object {
  const reply = parseObject(response.body);
  if (reply === null || typeof reply['ret_code'] !== 'number') {
    throw new PfError(
      'PROTOCOL_ERROR',
      `cannot read the answer to ${op}: HTTP status ${response.status} and no JSON object with a ret_code; is the address right?`,
    );
  }
  if (reply['ret_code'] === 0 || 'volume' in reply) return reply;
  throw errorOfReply(reply);
}

function parseObject(bytes: Uint8Array): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(DECODER.decode(bytes));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
