// HTTP requests over node:net, with kept-alive connections. node:http's client takes a millisecond of CPU for a request that is made
// a few times a second (nothing of it stays hot), and loading it takes as long as starting Node; heartbeats and command lines need neither.
// Called by NodeHttp and by the control world. A connection carries one request at a time; idle ones are closed after IDLE_MS.
import { connect, type Socket } from 'node:net';
import { PfError } from '../../base/errors.ts';
import type { HttpCall, HttpResponse } from '../http.ts';
import { ResponseParser } from './http-response-parser.ts';
import { systemCodeOf, toPfError } from './system-error.ts';

/** Shorter than our servers keep a connection, so that a request seldom meets one that is just being closed. */
const IDLE_MS = 4_000;
const MAX_IDLE_PER_SERVER = 16;

export class HttpClient {
  readonly #idle = new Map<string, Connection[]>();

  async request(call: HttpCall): Promise<HttpResponse> {
    call.signal?.throwIfAborted();
    for (let attempt = 0; ; attempt += 1) {
      const { connection, isReused } = this.#take(call);
      try {
        const response = await connection.exchange(call);
        this.#keep(call, connection);
        return response;
      } catch (error) {
        connection.close();
        call.signal?.throwIfAborted();
        // A kept-alive connection that its server closed at this very moment: nothing was answered, so a GET may go again.
        if (!(isReused && connection.wasLostBeforeAnswer && call.method === 'GET' && attempt < 3)) throw error;
      }
    }
  }

  close(): void {
    for (const connections of this.#idle.values()) for (const connection of connections) connection.close();
    this.#idle.clear();
  }

  #take(call: HttpCall): { connection: Connection; isReused: boolean } {
    const idle = this.#idle.get(keyOf(call));
    for (let connection = idle?.pop(); connection !== undefined; connection = idle?.pop()) {
      if (connection.isOpen) return { connection, isReused: true };
    }
    return { connection: new Connection(connect({ host: call.host, port: call.port, noDelay: true })), isReused: false };
  }

  #keep(call: HttpCall, connection: Connection): void {
    const key = keyOf(call);
    const idle = this.#idle.get(key) ?? [];
    this.#idle.set(key, idle);
    if (!connection.canBeReused || idle.length >= MAX_IDLE_PER_SERVER) connection.close();
    else idle.push(connection);
  }
}

const keyOf = (call: HttpCall): string => `${call.host} ${call.port}`;

class Connection {
  readonly #socket: Socket;
  #parser: ResponseParser | null = null;
  #settle: ((error: unknown) => void) | null = null;
  isOpen = true;
  canBeReused = false;
  wasLostBeforeAnswer = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (piece: Buffer) => this.#received(piece));
    socket.on('error', (error) => this.#ended(error));
    socket.on('close', () => this.#ended(null));
    socket.on('timeout', () => this.close());
  }

  async exchange(call: HttpCall): Promise<HttpResponse> {
    const action = `cannot ${call.method} http://${call.host}:${call.port}${call.target}`;
    const parser = new ResponseParser(action);
    this.#parser = parser;
    this.#socket.ref();
    this.#socket.setTimeout(0);
    const onAbort = (): void => this.#settle?.(call.signal!.reason);
    const late = new PfError('TIMEOUT', `${action}: no complete answer within ${call.timeoutMs} ms`);
    let timer: NodeJS.Timeout | null = null;
    try {
      await new Promise<void>((resolve, reject) => {
        this.#settle = (error) => (error === null ? resolve() : reject(error as Error));
        timer = setTimeout(() => this.#settle?.(late), call.timeoutMs);
        call.signal?.addEventListener('abort', onAbort, { once: true });
        this.#socket.write(requestBytes(call));
      });
      this.canBeReused = parser.keepsAlive;
      return parser.response();
    } catch (error) {
      call.signal?.throwIfAborted();
      throw error instanceof PfError ? error : toPfError(error, action, 'CONNECTION_LOST');
    } finally {
      if (timer !== null) clearTimeout(timer);
      call.signal?.removeEventListener('abort', onAbort);
      this.#settle = null;
      this.#parser = null;
      // An idle connection keeps no process alive.
      this.#socket.unref();
      this.#socket.setTimeout(IDLE_MS);
    }
  }

  close(): void {
    this.isOpen = false;
    this.#socket.destroy();
  }

  #received(piece: Buffer): void {
    const parser = this.#parser;
    if (parser === null) return this.close();
    try {
      if (parser.push(piece)) this.#settle?.(null);
    } catch (error) {
      this.#settle?.(error);
    }
  }

  #ended(error: Error | null): void {
    this.isOpen = false;
    const parser = this.#parser;
    if (parser === null) return;
    this.wasLostBeforeAnswer = parser.isUntouched && (error === null || ['ECONNRESET', 'EPIPE'].includes(systemCodeOf(error)));
    try {
      if (error === null && parser.end()) this.#settle?.(null);
      else this.#settle?.(error ?? parser.cutShort());
    } catch (failure) {
      this.#settle?.(failure);
    }
  }
}

/** Head and body in one piece, so that a small request is one packet and wakes its server once. */
function requestBytes(call: HttpCall): Buffer {
  const head = Buffer.from(requestHead(call), 'latin1');
  return call.body === undefined ? head : Buffer.concat([head, call.body]);
}

function requestHead(call: HttpCall): string {
  let head = `${call.method} ${call.target} HTTP/1.1\r\nhost: ${call.host}:${call.port}\r\n`;
  if (call.method === 'POST') head += `content-length: ${call.body?.length ?? 0}\r\n`;
  if (call.contentType !== undefined) head += `content-type: ${call.contentType}\r\n`;
  for (const [name, value] of Object.entries(call.headers ?? {})) head += `${name}: ${value}\r\n`;
  return `${head}\r\n`;
}
