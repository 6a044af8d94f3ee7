// HTTP to the API server over node:http(s): kept-alive connections, one deadline for each request, credentials that rotate, answers that are
// bytes. Called by HttpsKubeClient only; knows nothing of objects. Watches have connections of their own, never pooled.
// Measured beside undici: node:https starts in 12 ms and 8 MiB against 80 ms and 24 MiB, and an operator makes few requests.
import * as http from 'node:http';
import * as https from 'node:https';
import type { Clock, Timer } from '@pureflash/datapath/world';
import { formatErrorChain } from '@pureflash/datapath/base';
import { unanswered } from './api-error.ts';
import type { ApiLocation, Credentials } from './credentials.ts';

export interface ApiCall {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Path with query. */
  readonly target: string;
  readonly body?: string;
  readonly contentType?: string;
  /** For error messages: "apply v1 ConfigMap ns/name". */
  readonly action: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

export interface ApiAnswer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface StreamCall extends Omit<ApiCall, 'method' | 'body' | 'contentType'> {
  /** From the headers on, this replaces `timeoutMs`: the longest time without a byte. */
  readonly inactivityMs: number;
  onChunk(chunk: Buffer): void;
}

const CREDENTIALS_MS = 60_000;
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
const MAX_REFUSAL_BYTES = 64 * 1024;
const MAX_CONNECTIONS = 16;

/** What one set of certificates connects with. */
interface Connector {
  readonly credentials: Credentials;
  readonly pooled: http.Agent;
  readonly single: http.Agent;
}

export class ApiTransport {
  /** Requests sent, watches included: a restart storm would show here. */
  requestsSent = 0;
  readonly #location: ApiLocation;
  readonly #clock: Clock;
  readonly #closed = new AbortController();
  #connector: Connector | null = null;
  #readAt = 0;
  #reading: Promise<Connector> | null = null;

  constructor(location: ApiLocation, clock: Clock) {
    this.#location = location;
    this.#clock = clock;
  }

  /** Any HTTP status resolves. Errors: UNAVAILABLE, CONNECTION_LOST, TIMEOUT, CANCELLED after close, the signal's reason. */
  async request(call: ApiCall): Promise<ApiAnswer> {
    const endsAt = this.#clock.now() + call.timeoutMs;
    let mayRepeat = true;
    while (true) {
      const exchange = new Exchange(this.#clock, call, this.#closed.signal, endsAt - this.#clock.now());
      try {
        const connector = await exchange.limit(this.#connect(call.action));
        this.requestsSent += 1;
        const answer = await exchange.read(await exchange.send(this.#open(call, connector, connector.pooled)), MAX_ANSWER_BYTES);
        if (answer.status !== 401 || !mayRepeat) return answer;
        this.#forgetCredentials();
      } catch (error) {
        // The peer may be gone without a word, and then every kept connection would cost another time-out.
        if (exchange.timedOut && this.#connector !== null) dropIdleConnections(this.#connector);
        if (!(mayRepeat && exchange.metClosedConnection && call.method !== 'POST')) throw error;
      } finally {
        exchange.end();
      }
      mayRepeat = false;
    }
  }

  /** Resolves with the status when the stream ends cleanly; a status other than 200 with the body's first 64 KiB. */
  async stream(call: StreamCall): Promise<ApiAnswer> {
    const exchange = new Exchange(this.#clock, call, this.#closed.signal, call.timeoutMs);
    try {
      const connector = await exchange.limit(this.#connect(call.action));
      this.requestsSent += 1;
      const response = await exchange.send(this.#open({ ...call, method: 'GET' }, connector, connector.single));
      if (response.statusCode === 401) this.#forgetCredentials();
      if (response.statusCode !== 200) return await exchange.read(response, MAX_REFUSAL_BYTES);
      await exchange.follow(response, call);
      return { status: 200, headers: response.headers, body: Buffer.alloc(0) };
    } finally {
      exchange.end();
    }
  }

  close(): void {
    this.#closed.abort(unanswered('CANCELLED', 'finish the request', 'the client is closed'));
    this.#connector?.pooled.destroy();
    this.#connector?.single.destroy();
    this.#connector = null;
  }

  #open(call: Omit<ApiCall, 'timeoutMs'>, connector: Connector, agent: http.Agent): http.ClientRequest {
    const { url } = this.#location;
    const body = call.body === undefined ? null : Buffer.from(call.body);
    const request = (url.protocol === 'http:' ? http : https).request({
      method: call.method,
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port === '' ? (url.protocol === 'http:' ? 80 : 443) : Number(url.port),
      path: url.pathname === '/' ? call.target : `${url.pathname.replace(/\/$/, '')}${call.target}`,
      agent,
      headers: {
        accept: 'application/json',
        'user-agent': 'pureflash-operator',
        ...connector.credentials.headers,
        ...(body === null ? {} : { 'content-type': call.contentType ?? 'application/json', 'content-length': body.length }),
      },
    });
    request.end(body ?? undefined);
    return request;
  }

  async #connect(action: string): Promise<Connector> {
    const current = this.#connector;
    if (current !== null && this.#clock.now() - this.#readAt < CREDENTIALS_MS) return current;
    this.#reading ??= this.#readConnector().finally(() => (this.#reading = null));
    try {
      return await this.#reading;
    } catch (error) {
      if (current !== null) return current; // The old ones may still do; the server decides.
      throw unanswered('PERMISSION_DENIED', action, formatErrorChain(error), error);
    }
  }

  async #readConnector(): Promise<Connector> {
    const credentials = await this.#location.read();
    this.#closed.signal.throwIfAborted();
    this.#readAt = this.#clock.now();
    const before = this.#connector;
    if (before !== null && sameConnection(before.credentials, credentials)) {
      this.#connector = { ...before, credentials };
      return this.#connector;
    }
    this.#connector = connectorFor(this.#location.url, credentials);
    if (before !== null) dropIdleConnections(before); // What is under way ends on the old certificate.
    return this.#connector;
  }

  #forgetCredentials(): void {
    this.#readAt = Number.NEGATIVE_INFINITY;
  }
}

function connectorFor(url: URL, credentials: Credentials): Connector {
  if (credentials.agent !== undefined) return { credentials, pooled: credentials.agent, single: credentials.agent };
  const { ca, cert, key, serverName, skipsVerification } = credentials;
  const limits = { keepAlive: true, keepAliveMsecs: 15_000, maxSockets: MAX_CONNECTIONS, maxFreeSockets: 4, timeout: 60_000 };
  if (url.protocol === 'http:') return { credentials, pooled: new http.Agent(limits), single: new http.Agent() };
  const tls: https.AgentOptions = {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(serverName === undefined ? {} : { servername: serverName }),
    ...(skipsVerification === true ? { rejectUnauthorized: false } : {}),
    minVersion: 'TLSv1.2',
  };
  return { credentials, pooled: new https.Agent({ ...tls, ...limits }), single: new https.Agent(tls) };
}

function dropIdleConnections(connector: Connector): void {
  for (const sockets of Object.values(connector.pooled.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
}

function sameConnection(left: Credentials, right: Credentials): boolean {
  const isSame = (one?: string | Buffer, other?: string | Buffer): boolean => String(one ?? '') === String(other ?? '');
  return isSame(left.ca, right.ca) && isSame(left.cert, right.cert) && isSame(left.key, right.key) && left.agent === right.agent;
}

/** One request with its deadline and its signals. Whatever ends it first decides the error. */
class Exchange {
  timedOut = false;
  /** A kept-alive connection that the server had closed already: nothing was answered. */
  metClosedConnection = false;
  readonly #clock: Clock;
  readonly #action: string;
  readonly #signals: readonly AbortSignal[];
  readonly #ended: Promise<never>;
  #fail!: (error: unknown) => void;
  #timer: Timer;
  #request: http.ClientRequest | null = null;
  #response: http.IncomingMessage | null = null;
  readonly #onAbort: () => void;

  constructor(clock: Clock, call: Omit<ApiCall, 'method'>, closed: AbortSignal, timeoutMs: number) {
    this.#clock = clock;
    this.#action = call.action;
    this.#signals = call.signal === undefined ? [closed] : [closed, call.signal];
    this.#ended = new Promise<never>((_, reject) => (this.#fail = reject));
    this.#ended.catch(() => {}); // Somebody may not be waiting for it.
    this.#onAbort = () => this.#fail(this.#signals.find((signal) => signal.aborted)!.reason);
    for (const signal of this.#signals) {
      if (signal.aborted) this.#onAbort();
      else signal.addEventListener('abort', this.#onAbort);
    }
    this.#timer = clock.after(Math.max(0, timeoutMs), () => this.#timeOut(`no answer within ${call.timeoutMs} ms`));
  }

  limit<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#ended]);
  }

  send(request: http.ClientRequest): Promise<http.IncomingMessage> {
    this.#request = request;
    const answered = new Promise<http.IncomingMessage>((resolve, reject) => {
      request.once('response', (response) => {
        this.#response = response;
        resolve(response);
      });
      request.on('error', (error: NodeJS.ErrnoException) => {
        this.metClosedConnection = request.reusedSocket && ['ECONNRESET', 'EPIPE'].includes(error.code ?? '');
        reject(connectionError(this.#action, error));
      });
    });
    answered.catch(() => {});
    return this.limit(answered);
  }

  read(response: http.IncomingMessage, maxBytes: number): Promise<ApiAnswer> {
    const chunks: Buffer[] = [];
    let sizeBytes = 0;
    const whole = this.#consume(response, (chunk) => {
      sizeBytes += chunk.length;
      if (sizeBytes > maxBytes) throw unanswered('PROTOCOL_ERROR', this.#action, `the answer is longer than ${maxBytes} bytes`);
      chunks.push(chunk);
    });
    return whole.then(() => ({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }));
  }

  /** Hands over chunks until the server ends the stream. The clock is looked at a few times a period, not for each chunk. */
  async follow(response: http.IncomingMessage, call: StreamCall): Promise<void> {
    this.#timer.cancel();
    let lastAt = this.#clock.now();
    this.#timer = this.#clock.every(call.inactivityMs / 5, () => {
      if (this.#clock.now() - lastAt >= call.inactivityMs) this.#timeOut(`nothing came for ${call.inactivityMs} ms`);
    });
    response.socket.setKeepAlive(true, 15_000);
    await this.#consume(response, (chunk) => {
      lastAt = this.#clock.now();
      call.onChunk(chunk);
    });
  }

  end(): void {
    this.#timer.cancel();
    for (const signal of this.#signals) signal.removeEventListener('abort', this.#onAbort);
    if (!(this.#response?.complete ?? false)) this.#request?.destroy();
  }

  #consume(response: http.IncomingMessage, onChunk: (chunk: Buffer) => void): Promise<void> {
    const consumed = new Promise<void>((resolve, reject) => {
      response.on('data', (chunk: Buffer) => {
        try {
          onChunk(chunk);
        } catch (error) {
          reject(error as Error);
          response.destroy();
        }
      });
      response.once('end', resolve);
      response.once('error', (error) => reject(connectionError(this.#action, error)));
      response.once('close', () => reject(unanswered('CONNECTION_LOST', this.#action, 'the connection broke in the answer')));
    });
    consumed.catch(() => {});
    return this.limit(consumed);
  }

  #timeOut(why: string): void {
    this.timedOut = true;
    this.#fail(unanswered('TIMEOUT', this.#action, why));
  }
}

function connectionError(action: string, error: NodeJS.ErrnoException): Error {
  const code = error.code ?? '';
  if (['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOTFOUND', 'EAI_AGAIN'].includes(code)) {
    return unanswered('UNAVAILABLE', action, `the API server is not there (${code})`, error);
  }
  return unanswered('CONNECTION_LOST', action, code === '' ? 'the connection broke' : `the connection broke (${code})`, error);
}
