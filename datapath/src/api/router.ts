// Turns a route table and its handlers into an HttpHandler. Every request gets a JSON answer (or the binary one its route
// declares); what a handler throws becomes an ErrorReply with the status of its code. Nothing a peer sends can do worse than that.
import { PfError, errorCodeOf } from '../base/errors.ts';
import type { HttpHandler, HttpRequest, HttpResponse } from '../world/http.ts';
import { errorReply, httpStatusOf } from './errors.ts';
import type { Field } from './fields.ts';
import type { AnswerOf, BodyOf, ParamsOf, Route } from './routes.ts';

export type Handlers<Table> = {
  readonly [Op in keyof Table]: (
    params: ParamsOf<Table[Op]>,
    body: BodyOf<Table[Op]>,
    request: HttpRequest,
  ) => Promise<AnswerOf<Table[Op]>> | AnswerOf<Table[Op]>;
};

type AnyRoute = Route<Record<string, unknown>, unknown, unknown>;
type AnyHandler = (params: unknown, body: unknown, request: HttpRequest) => unknown;

// Making one costs more than using it.
const ENCODER = new TextEncoder();
const DECODER = new TextDecoder('utf-8', { fatal: true });
const MAX_PARAMS = 32;
const MAX_BODY_BYTES = 16 * 1024 * 1024;

/** `onFailure` hears of bugs only (codes INTERNAL), for the log. */
export function createRouter<Table extends object>(
  table: Table,
  handlers: Handlers<Table>,
  onFailure: (op: string, error: unknown) => void,
): HttpHandler {
  const routes = table as Record<string, AnyRoute>;
  const handlerOf = handlers as unknown as Record<string, AnyHandler>;
  return async (request) => {
    const op = request.query.get('op') ?? '';
    const shownOp = /^[a-z0-9_]{1,64}$/.test(op) ? op : 'unknown';
    try {
      if (!Object.hasOwn(routes, op)) throw unknownOp(op, routes);
      const route = routes[op]!;
      checkMethod(op, route, request);
      const params = readParams(op, route, request.query);
      const body = route.body === null ? null : readBody(route.body, request.body);
      const answer = await handlerOf[op]!(params, body, request);
      return route.answer === 'binary' ? binaryResponse(answer as Uint8Array) : jsonResponse(200, answer);
    } catch (error) {
      const code = errorCodeOf(error);
      if (code === 'INTERNAL') onFailure(shownOp, error);
      return jsonResponse(httpStatusOf(code), errorReply(shownOp, code, error));
    }
  };
}

export function jsonResponse(status: number, value: unknown): HttpResponse {
  return { status, contentType: 'application/json', body: ENCODER.encode(`${JSON.stringify(value)}\n`) };
}

function binaryResponse(body: Uint8Array): HttpResponse {
  return { status: 200, contentType: 'application/octet-stream', body };
}

function unknownOp(op: string, routes: object): PfError {
  const known = Object.keys(routes).join(', ');
  const asked = op === '' ? 'no op given' : `unknown op ${JSON.stringify(op.slice(0, 64))}`;
  return new PfError('UNSUPPORTED', `${asked}: use one of ${known}`);
}

function checkMethod(op: string, route: AnyRoute, request: HttpRequest): void {
  if (request.method === 'POST' || (request.method === route.method && route.body === null)) return;
  throw new PfError(
    'UNSUPPORTED',
    `op ${op} does not take ${request.method.slice(0, 16)}: send it as ${route.method}${route.body === null ? '' : ' with a JSON body'}`,
  );
}

function readParams(op: string, route: AnyRoute, query: ReadonlyMap<string, string>): Record<string, unknown> {
  if (query.size > MAX_PARAMS)
    throw new PfError('INVALID_ARGUMENT', `${query.size} parameters given, at most ${MAX_PARAMS} are possible`);
  const params: Record<string, unknown> = {};
  for (const [key, text] of query) {
    if (key === 'op') continue;
    if (!Object.hasOwn(route.params, key)) {
      const known = Object.keys(route.params).join(', ') || 'none';
      throw new PfError('INVALID_ARGUMENT', `op ${op} has no parameter ${JSON.stringify(key.slice(0, 64))}: it takes ${known}`);
    }
    params[key] = route.params[key]!.fromText(text, key);
  }
  for (const [key, field] of Object.entries(route.params)) {
    if (Object.hasOwn(params, key)) continue;
    if (field.isRequired) throw new PfError('INVALID_ARGUMENT', `op ${op} misses parameter "${key}": ${field.wanted} wanted`);
    params[key] = field.absent;
  }
  return params;
}

function readBody(field: Field<unknown>, bytes: Uint8Array): unknown {
  if (bytes.length === 0) throw new PfError('INVALID_ARGUMENT', 'the body is empty: a JSON object wanted');
  if (bytes.length > MAX_BODY_BYTES)
    throw new PfError('INVALID_ARGUMENT', `the body has ${bytes.length} bytes, at most ${MAX_BODY_BYTES} are possible`);
  let value: unknown;
  try {
    value = JSON.parse(DECODER.decode(bytes));
  } catch {
    throw new PfError('INVALID_ARGUMENT', 'the body is not JSON in UTF-8: a JSON object wanted');
  }
  return field.fromJson(value, '');
}
