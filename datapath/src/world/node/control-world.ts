// The small world of a command-line call: HTTP requests, a clock, randomness, and nothing of the data path. It opens in a
// few milliseconds: loading node:http alone takes as long as starting Node, so requests go over node:net, one a connection.
import { connect, type Socket } from 'node:net';
import { PfError } from '../../base/errors.ts';
import { MiB, formatSize } from '../../base/sizes.ts';
import type { Http, HttpCall, HttpResponse } from '../http.ts';
import type { World } from '../world.ts';
import { NodeClock } from './node-clock.ts';
import { NodeRandom } from './node-random.ts';
import { toPfError } from './system-error.ts';

const MAX_RESPONSE_BYTES = 64 * MiB;

export type ControlWorld = Pick<World, 'http' | 'clock' | 'random'> & { close(): Promise<void> };

export function openControlWorld(): ControlWorld {
  const clock = new NodeClock();
  const http: Http = {
    serve: () => Promise.reject(new PfError('UNSUPPORTED', 'cannot serve HTTP from a control world; open the whole world')),
    request,
  };
  return {
    http,
    clock,
    random: new NodeRandom(),
    close: async () => clock.stopAll(),
  };
}

async function request(call: HttpCall): Promise<HttpResponse> {
  call.signal?.throwIfAborted();
  const action = `cannot ${call.method} http://${call.host}:${call.port}${call.target}`;
  const socket = connect({ host: call.host, port: call.port });
  const onAbort = (): void => void socket.destroy(call.signal!.reason);
  call.signal?.addEventListener('abort', onAbort, { once: true });
  const timer = setTimeout(() => {
    socket.destroy(new PfError('TIMEOUT', `${action}: no complete answer within ${call.timeoutMs} ms`));
  }, call.timeoutMs);
  try {
    // The server ends the connection after its answer, as asked: the socket's end is the answer's end.
    socket.write(requestBytes(call));
    return parseResponse(await readAll(socket, action), action);
  } catch (error) {
    call.signal?.throwIfAborted();
    throw error instanceof PfError ? error : toPfError(error, action, 'CONNECTION_LOST');
  } finally {
    clearTimeout(timer);
    call.signal?.removeEventListener('abort', onAbort);
    socket.destroy();
  }
}

function requestBytes(call: HttpCall): Buffer {
  const lines = [
    `${call.method} ${call.target} HTTP/1.0`,
    `host: ${call.host}:${call.port}`,
    'connection: close',
    `content-length: ${call.body?.length ?? 0}`,
    ...(call.contentType === undefined ? [] : [`content-type: ${call.contentType}`]),
    ...Object.entries(call.headers ?? {}).map(([name, value]) => `${name}: ${value}`),
  ];
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), call.body ?? Buffer.alloc(0)]);
}

async function readAll(socket: Socket, action: string): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let total = 0;
  for await (const piece of socket as AsyncIterable<Buffer>) {
    pieces.push(piece);
    total += piece.length;
    if (total > MAX_RESPONSE_BYTES) {
      throw new PfError('PROTOCOL_ERROR', `${action}: the answer is longer than ${formatSize(MAX_RESPONSE_BYTES)}`);
    }
  }
  return Buffer.concat(pieces, total);
}

/** HTTP/1.0 is asked for, so the body is never chunked. */
function parseResponse(bytes: Buffer, action: string): HttpResponse {
  const headEnd = bytes.indexOf('\r\n\r\n');
  const [statusLine, ...lines] = bytes.toString('latin1', 0, Math.max(0, headEnd)).split('\r\n');
  const status = /^HTTP\/1\.[01] (\d{3})/.exec(statusLine ?? '');
  if (headEnd < 0 || status === null) throw new PfError('PROTOCOL_ERROR', `${action}: the answer is not HTTP`);
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    if (colon > 0) headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  const body = bytes.subarray(headEnd + 4);
  const wanted = headers['content-length'];
  if (wanted !== undefined && body.length !== Number(wanted)) {
    throw new PfError('CONNECTION_LOST', `${action}: the answer ends after ${body.length} of ${wanted} bytes`);
  }
  return { status: Number(status[1]), contentType: headers['content-type'] ?? '', body, headers };
}
