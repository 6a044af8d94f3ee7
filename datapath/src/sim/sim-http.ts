// The Http port over the simulated links: whole requests and answers, each of which may be late, lost, or never heard of.
// A request is delivered at most once per call; that its answer is lost does not mean that it was not executed.
import { formatErrorChain, PfError } from '../base/errors.ts';
import type { Http, HttpCall, HttpHandler, HttpRequest, HttpResponse, HttpServer } from '../world/http.ts';
import type { HttpEndpoint } from './host-ports.ts';
import type { SimEvent } from './event-queue.ts';
import type { SimHost } from './sim-host.ts';
import type { CrashOptions, ProcessResource, SimProcess } from './sim-process.ts';

const MAX_BODY_BYTES = 16 * 1024 * 1024;
const CLOSE_WAIT_MS = 2_000;

export class SimHttp implements Http {
  readonly #process: SimProcess;

  constructor(process: SimProcess) {
    this.#process = process;
  }

  serve(host: string, port: number, handler: HttpHandler): Promise<HttpServer> {
    return this.#process.later(0.01, 'http-serve', () => {
      this.#process.checkOpen(`serve HTTP on ${host}:${port}`);
      return new SimHttpServer(this.#process, host, port, handler);
    });
  }

  request(call: HttpCall): Promise<HttpResponse> {
    if (call.signal?.aborted) return Promise.reject(call.signal.reason);
    return new Promise((resolve, reject) => {
      const exchange = new Exchange(this.#process, call, resolve, reject);
      this.#process.post(0, 'http-request', () => exchange.begin());
    });
  }
}

class SimHttpServer implements HttpServer, ProcessResource {
  readonly host: string;
  readonly port: number;
  readonly #process: SimProcess;
  readonly #endpoint: HttpEndpoint;
  #isOpen = true;

  constructor(process: SimProcess, host: string, port: number, handler: HttpHandler) {
    this.#process = process;
    this.#endpoint = { kind: 'http', process, boundHost: host, handler, exchanges: new Set() };
    this.host = host;
    this.port = process.host.ports.bind(port, this.#endpoint);
    process.resources.add(this);
  }

  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#release();
    const giveUpMs = this.#process.sim.now + CLOSE_WAIT_MS;
    while (this.#endpoint.exchanges.size > 0 && this.#process.sim.now < giveUpMs) {
      await this.#process.later(1, 'http-close', () => undefined);
    }
    for (const exchange of this.#endpoint.exchanges) exchange.serverGone(false);
  }

  describe(): string {
    return `HTTP server on ${this.host}:${this.port}`;
  }

  closeResource(): Promise<void> {
    return this.close();
  }

  processDied(options: CrashOptions): void {
    this.#release();
    for (const exchange of this.#endpoint.exchanges) exchange.serverGone(options.peers === 'silence');
  }

  #release(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#process.resources.delete(this);
    this.#process.host.ports.unbind(this.port);
  }
}

/** What a server may tell the exchanges it answers. */
export interface ServedExchange {
  serverGone(isSilent: boolean): void;
}

class Exchange implements ServedExchange, ProcessResource {
  readonly #process: SimProcess;
  readonly #call: HttpCall;
  readonly #resolve: (response: HttpResponse) => void;
  readonly #reject: (reason: unknown) => void;
  readonly #peer: string;
  #deadline: SimEvent | null = null;
  #isSettled = false;
  /** Of the caller's and of the server's machine when it was sent. */
  #powerCuts: [number, number] = [0, 0];
  /** The server has lost interest: its answer goes nowhere. */
  #isServerGone = false;

  constructor(process: SimProcess, call: HttpCall, resolve: (response: HttpResponse) => void, reject: (reason: unknown) => void) {
    this.#process = process;
    this.#call = { ...call, ...(call.body === undefined ? {} : { body: call.body.slice() }) };
    this.#resolve = resolve;
    this.#reject = reject;
    this.#peer = `${process.host.address}:${process.host.ports.ephemeralPort()}`;
  }

  begin(): void {
    const { sim, host } = this.#process;
    const { network } = sim;
    const call = this.#call;
    if (this.#process.isClosed) {
      this.#fail('CONNECTION_LOST', 'the world of this process is closed');
      return;
    }
    if (call.signal?.aborted) {
      this.#settle();
      this.#reject(call.signal.reason);
      return;
    }
    this.#process.resources.add(this);
    call.signal?.addEventListener('abort', this.#abort, { once: true });
    this.#deadline = this.#process.post(call.timeoutMs, 'http-timeout', () =>
      this.#fail('TIMEOUT', `no answer within ${call.timeoutMs} ms`),
    );
    const target = network.hostAt(call.host, host);
    if (target === null) {
      this.#fail('CONNECTION_LOST', 'no such host');
    } else if (network.random.chance(network.faults.requestLostChance)) {
      this.#failLater(network.random.between(0, 20), 'the connection broke while sending');
    } else {
      const delayMs = network.links.delay(host, target, 200 + (call.body?.length ?? 0));
      this.#powerCuts = [host.powerCuts, target.powerCuts];
      sim.post(null, delayMs, 'http-arrival', () => this.#arrive(target), false);
    }
  }

  serverGone(isSilent: boolean): void {
    this.#isServerGone = true;
    if (!isSilent) this.#failLater(0.1, 'the server closed the connection');
  }

  describe(): string {
    return `HTTP request ${this.#call.method} ${this.#call.host}:${this.#call.port}${this.#call.target}`;
  }

  closeResource(): void {
    this.#fail('CONNECTION_LOST', 'the world of this process is closing');
  }

  processDied(): void {
    this.#isSettled = true;
  }

  readonly #abort = (): void => {
    if (this.#isSettled) return;
    this.#settle();
    this.#reject(this.#call.signal!.reason);
  };

  #arrive(target: SimHost): void {
    const { sim, host } = this.#process;
    const { network } = sim;
    if (!network.links.isOpen(host, target)) {
      network.links.whenOpen(host, target, () => this.#arrive(target));
      return;
    }
    const isCallerGone = host.powerCuts !== this.#powerCuts[0];
    const isForgotten = this.#isSettled && target.powerCuts !== this.#powerCuts[1];
    if (isCallerGone || isForgotten) return;
    // A caller that has given up may still be heard: its bytes can be in the server's socket already.
    if (this.#isSettled && network.random.chance(0.5)) return;
    const endpoint = target.ports.at(this.#call.port, target !== host);
    if (endpoint === null || endpoint.kind !== 'http') {
      this.#failLater(network.links.delay(target, host, 64), 'connection refused: nobody serves HTTP there');
      return;
    }
    endpoint.exchanges.add(this);
    endpoint.process.post(0, 'http-serve', () => void this.#serve(endpoint, target));
  }

  async #serve(endpoint: HttpEndpoint, target: SimHost): Promise<void> {
    const response = await answer(endpoint.handler, this.#call, this.#peer);
    const server = endpoint.process;
    if (!server.isAlive || this.#isServerGone) return;
    server.post(0, 'http-answer', () => {
      endpoint.exchanges.delete(this);
      if (!this.#isServerGone) this.#answer(response, target);
    });
  }

  #answer(response: HttpResponse, target: SimHost): void {
    const { sim, host } = this.#process;
    const { network } = sim;
    if (network.random.chance(network.faults.answerLostChance)) {
      this.#failLater(network.random.between(0, 20), 'the connection broke before the answer was complete');
      return;
    }
    const arrive = (): void => {
      if (network.links.isOpen(target, host)) this.#process.post(0, 'http-answered', () => this.#succeed(response));
      else network.links.whenOpen(target, host, arrive);
    };
    sim.post(null, network.links.delay(target, host, 200 + response.body.length), 'http-answer-arrival', arrive, false);
  }

  #succeed(response: HttpResponse): void {
    if (this.#isSettled) return;
    this.#settle();
    this.#resolve(response);
  }

  #failLater(delayMs: number, why: string): void {
    this.#process.post(delayMs, 'http-failure', () => this.#fail('CONNECTION_LOST', why));
  }

  #fail(code: 'CONNECTION_LOST' | 'TIMEOUT', why: string): void {
    if (this.#isSettled) return;
    this.#settle();
    const { method, host, port, target } = this.#call;
    this.#reject(new PfError(code, `cannot ${method} http://${host}:${port}${target}: ${why}`));
  }

  #settle(): void {
    this.#isSettled = true;
    this.#deadline?.cancel();
    this.#call.signal?.removeEventListener('abort', this.#abort);
    this.#process.resources.delete(this);
  }
}

async function answer(handler: HttpHandler, call: HttpCall, peer: string): Promise<HttpResponse> {
  const body = call.body ?? new Uint8Array(0);
  if (body.length > MAX_BODY_BYTES)
    return textResponse(413, `the body has ${body.length} bytes: at most ${MAX_BODY_BYTES} are accepted`);
  try {
    const response = await handler(requestOf(call, body, peer));
    return { ...response, body: response.body.slice() };
  } catch (error) {
    return textResponse(500, formatErrorChain(error));
  }
}

function requestOf(call: HttpCall, body: Uint8Array, peer: string): HttpRequest {
  const cut = call.target.indexOf('?');
  const path = cut < 0 ? call.target : call.target.slice(0, cut);
  const headers = new Map(Object.entries(call.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]));
  if (call.contentType !== undefined) headers.set('content-type', call.contentType);
  const query = new Map(new URLSearchParams(cut < 0 ? '' : call.target.slice(cut + 1)));
  return { method: call.method, path: decodeURIComponent(path), query, body: body.slice(), headers, peer };
}

function textResponse(status: number, text: string): HttpResponse {
  return { status, contentType: 'text/plain', body: new TextEncoder().encode(text) };
}
