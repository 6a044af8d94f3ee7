// The control plane's HTTP on node:http, with kept-alive connections on both sides.
import { Agent, createServer, request as httpRequest, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PfError, formatErrorChain } from '../../base/errors.ts';
import { MiB, formatSize } from '../../base/sizes.ts';
import type { Http, HttpCall, HttpHandler, HttpRequest, HttpResponse, HttpServer } from '../http.ts';
import { systemCodeOf, toPfError } from './system-error.ts';

const MAX_REQUEST_BYTES = 16 * MiB;
const MAX_RESPONSE_BYTES = 64 * MiB;
const CLOSE_WAIT_MS = 2000;

export class NodeHttp implements Http {
  readonly #agent = new Agent({ keepAlive: true, maxFreeSockets: 16 });
  readonly #servers = new Set<NodeHttpServer>();

  async serve(host: string, port: number, handler: HttpHandler): Promise<HttpServer> {
    const server = createServer({ keepAliveTimeout: 10_000 }, (incoming, outgoing) => {
      // On a server that is being closed the connection ends with its answer; kept alive, it would hold close() up.
      void answer(incoming, outgoing, handler, () => server.listening);
    });
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(port, host, resolve);
      });
    } catch (error) {
      throw toPfError(error, `cannot serve HTTP at ${host}:${port}`);
    }
    const opened = new NodeHttpServer(server, host, (server.address() as AddressInfo).port, () => this.#servers.delete(opened));
    this.#servers.add(opened);
    return opened;
  }

  async request(call: HttpCall): Promise<HttpResponse> {
    call.signal?.throwIfAborted();
    for (let attempt = 0; ; attempt += 1) {
      const sending = new ClientCall(this.#agent, call);
      try {
        return await sending.result;
      } catch (error) {
        // A kept-alive connection that its server closed at this very moment: nothing was answered, so a GET may go again.
        if (!(sending.wasStaleConnection && call.method === 'GET' && attempt < 3)) throw error;
      }
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#servers].map((server) => server.close()));
    this.#agent.destroy();
  }
}

class NodeHttpServer implements HttpServer {
  readonly host: string;
  readonly port: number;
  readonly #server: Server;
  readonly #onClose: () => void;
  #closing: Promise<void> | null = null;

  constructor(server: Server, host: string, port: number, onClose: () => void) {
    this.#server = server;
    this.host = host;
    this.port = port;
    this.#onClose = onClose;
  }

  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      const timer = setTimeout(() => this.#server.closeAllConnections(), CLOSE_WAIT_MS);
      this.#server.close(() => {
        clearTimeout(timer);
        this.#onClose();
        resolve();
      });
      this.#server.closeIdleConnections();
    });
    return this.#closing;
  }
}

async function answer(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  handler: HttpHandler,
  canKeepAlive: () => boolean,
): Promise<void> {
  try {
    const response = await handler(await readRequest(incoming));
    if (!canKeepAlive()) outgoing.shouldKeepAlive = false;
    writeResponse(outgoing, response);
  } catch (error) {
    if (incoming.errored || outgoing.destroyed || outgoing.headersSent) {
      outgoing.destroy();
      return;
    }
    if (error instanceof RefusedRequest || !canKeepAlive()) outgoing.shouldKeepAlive = false;
    writeResponse(outgoing, textResponse(error instanceof RefusedRequest ? error.status : 500, formatErrorChain(error)));
  }
}

/** Throws when a header is not one: then nothing has been sent yet. */
function writeResponse(outgoing: ServerResponse, response: HttpResponse): void {
  outgoing.writeHead(response.status, {
    'content-type': response.contentType,
    'content-length': response.body.length,
    ...response.headers,
  });
  outgoing.end(response.body);
}

class RefusedRequest extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

function textResponse(status: number, text: string): HttpResponse {
  return { status, contentType: 'text/plain; charset=utf-8', body: new TextEncoder().encode(`${text}\n`) };
}

async function readRequest(incoming: IncomingMessage): Promise<HttpRequest> {
  const target = incoming.url ?? '/';
  const queryAt = target.indexOf('?');
  let path: string;
  try {
    path = decodeURIComponent(queryAt < 0 ? target : target.slice(0, queryAt));
  } catch {
    throw new RefusedRequest(400, `cannot read the path of "${target}": its percent-encoding is broken`);
  }
  return {
    method: incoming.method ?? 'GET',
    path,
    query: new Map(new URLSearchParams(queryAt < 0 ? '' : target.slice(queryAt + 1))),
    body: await readBody(incoming, MAX_REQUEST_BYTES),
    headers: headerMap(incoming),
    peer: `${incoming.socket.remoteAddress}:${incoming.socket.remotePort}`,
  };
}

/** Reads on past the limit up to one limit more, so that the sender can see the refusal; then cuts the connection. */
async function readBody(incoming: IncomingMessage, limitBytes: number): Promise<Uint8Array> {
  const pieces: Buffer[] = [];
  let total = 0;
  for await (const piece of incoming as AsyncIterable<Buffer>) {
    total += piece.length;
    if (total <= limitBytes) pieces.push(piece);
    else pieces.length = 0;
    if (total > 2 * limitBytes) incoming.destroy();
  }
  if (total > limitBytes)
    throw new RefusedRequest(413, `body of ${formatSize(total)} refused: at most ${formatSize(limitBytes)} are accepted`);
  const all = Buffer.concat(pieces, total);
  return new Uint8Array(all.buffer, all.byteOffset, all.length);
}

function headerMap(message: IncomingMessage): ReadonlyMap<string, string> {
  const headers = new Map<string, string>();
  for (const [name, value] of Object.entries(message.headers)) {
    if (value !== undefined) headers.set(name, Array.isArray(value) ? value.join(', ') : value);
  }
  return headers;
}

/** One attempt of one call; settles exactly once. */
class ClientCall {
  readonly result: Promise<HttpResponse>;
  wasStaleConnection = false;

  constructor(agent: Agent, call: HttpCall) {
    this.result = new Promise((resolve, reject) => {
      const action = `cannot ${call.method} http://${call.host}:${call.port}${call.target}`;
      const outgoing = httpRequest({
        agent,
        host: call.host,
        port: call.port,
        method: call.method,
        path: call.target,
        headers: {
          ...call.headers,
          ...(call.contentType === undefined ? {} : { 'content-type': call.contentType }),
          ...(call.method === 'POST' ? { 'content-length': call.body?.length ?? 0 } : {}),
        },
      });
      const settle = (finish: () => void): void => {
        clearTimeout(timer);
        call.signal?.removeEventListener('abort', onAbort);
        finish();
      };
      const fail = (error: unknown): void => {
        settle(() => reject(error));
        outgoing.destroy();
      };
      const timer = setTimeout(
        () => fail(new PfError('TIMEOUT', `${action}: no complete answer within ${call.timeoutMs} ms`)),
        call.timeoutMs,
      );
      const onAbort = (): void => fail(call.signal!.reason);
      call.signal?.addEventListener('abort', onAbort, { once: true });
      outgoing.on('error', (error) => {
        this.wasStaleConnection = outgoing.reusedSocket && ['ECONNRESET', 'EPIPE'].includes(systemCodeOf(error));
        fail(clientError(error, action));
      });
      outgoing.on('response', (incoming) => {
        readResponse(incoming, action).then(
          (response) => settle(() => resolve(response)),
          (error: unknown) => fail(clientError(error, action)),
        );
      });
      outgoing.end(call.body);
    });
  }
}

async function readResponse(incoming: IncomingMessage, action: string): Promise<HttpResponse> {
  const pieces: Buffer[] = [];
  let total = 0;
  for await (const piece of incoming as AsyncIterable<Buffer>) {
    total += piece.length;
    pieces.push(piece);
    if (total > MAX_RESPONSE_BYTES)
      throw new PfError('PROTOCOL_ERROR', `${action}: the answer is longer than ${formatSize(MAX_RESPONSE_BYTES)}`);
  }
  const all = Buffer.concat(pieces, total);
  return {
    status: incoming.statusCode!,
    contentType: incoming.headers['content-type'] ?? '',
    body: new Uint8Array(all.buffer, all.byteOffset, all.length),
    headers: Object.fromEntries(headerMap(incoming)),
  };
}

function clientError(error: unknown, action: string): PfError {
  if (systemCodeOf(error).startsWith('HPE_'))
    return new PfError('PROTOCOL_ERROR', `${action}: the answer is not HTTP`, { cause: error });
  return toPfError(error, action, 'CONNECTION_LOST');
}
