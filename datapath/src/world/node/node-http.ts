// The control plane's HTTP: served by node:http, requested by our own client (http-client.ts says why), connections kept alive.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { formatErrorChain } from '../../base/errors.ts';
import { KiB, MiB, formatSize } from '../../base/sizes.ts';
import type { Http, HttpCall, HttpHandler, HttpRequest, HttpResponse, HttpServer } from '../http.ts';
import { HttpClient } from './http-client.ts';
import { toPfError } from './system-error.ts';

const MAX_REQUEST_BYTES = 16 * MiB;
const MAX_STRING_BYTES = 16 * KiB;
const CLOSE_WAIT_MS = 2000;
const NO_BODY = new Uint8Array(0);
/** A request without a body costs a third less when no stream is made for what does not come; @types/node misses that option. */
const SERVER_OPTIONS = { keepAliveTimeout: 10_000, optimizeEmptyRequests: true };

export class NodeHttp implements Http {
  readonly #client = new HttpClient();
  readonly #servers = new Set<NodeHttpServer>();

  async serve(host: string, port: number, handler: HttpHandler): Promise<HttpServer> {
    const server = createServer(SERVER_OPTIONS, (incoming, outgoing) => {
      // A cached date costs a timer of its own each second.
      outgoing.sendDate = false;
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

  request(call: HttpCall): Promise<HttpResponse> {
    return this.#client.request(call);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#servers].map((server) => server.close()));
    this.#client.close();
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
  // As a string a small body leaves in one piece with its head.
  if (response.body.length > MAX_STRING_BYTES) outgoing.end(response.body);
  else
    outgoing.end(Buffer.from(response.body.buffer, response.body.byteOffset, response.body.length).toString('latin1'), 'latin1');
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
    body: incoming.readableEnded ? NO_BODY : await readBody(incoming, MAX_REQUEST_BYTES),
    get headers() {
      return headerMap(incoming);
    },
    get peer() {
      return `${incoming.socket.remoteAddress}:${incoming.socket.remotePort}`;
    },
  };
}

/** Reads on past the limit up to one limit more, so that the sender can see the refusal; then cuts the connection. */
function readBody(incoming: IncomingMessage, limitBytes: number): Promise<Uint8Array> {
  const pieces: Buffer[] = [];
  let total = 0;
  return new Promise((resolve, reject) => {
    incoming.on('data', (piece: Buffer) => {
      total += piece.length;
      if (total <= limitBytes) pieces.push(piece);
      else pieces.length = 0;
      if (total > 2 * limitBytes) incoming.destroy(tooLong(total, limitBytes));
    });
    incoming.once('error', reject);
    incoming.once('close', () => incoming.complete || reject(new RefusedRequest(400, 'the request ended early')));
    incoming.once('end', () => {
      if (total > limitBytes) reject(tooLong(total, limitBytes));
      else resolve(bytesOf(pieces, total));
    });
  });
}

function tooLong(total: number, limitBytes: number): RefusedRequest {
  return new RefusedRequest(413, `body of ${formatSize(total)} refused: at most ${formatSize(limitBytes)} are accepted`);
}

function bytesOf(pieces: readonly Buffer[], total: number): Uint8Array {
  const all = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, total);
  return new Uint8Array(all.buffer, all.byteOffset, all.length);
}

function headerMap(message: IncomingMessage): ReadonlyMap<string, string> {
  const headers = new Map<string, string>();
  for (const [name, value] of Object.entries(message.headers)) {
    if (value !== undefined) headers.set(name, Array.isArray(value) ? value.join(', ') : value);
  }
  return headers;
}
