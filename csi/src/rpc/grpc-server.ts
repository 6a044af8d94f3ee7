// Serves described services over gRPC on a unix socket; the only file, with grpc-client.ts, that knows grpc-js. Called by the main
// program, registration/ and tests. Keeps, for every call: the request is decoded whole or refused as INVALID_ARGUMENT; the handler's
// signal is aborted when the caller leaves, its deadline passes or the server ends; the answer is a message or a status with a sentence,
// never a stack; and one line is logged, in which no secret can be, since of a request only its plain text fields are shown.
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { sendUnaryData, ServerUnaryCall, UntypedHandleCall, UntypedServiceImplementation } from '@grpc/grpc-js';
import { formatErrorChain, MiB, PfError } from '@pureflash/datapath/base';
import type { Clock, Logger } from '@pureflash/datapath/world';
import { decodeMessage, encodeMessage } from '../messages/codec.ts';
import { methodPath } from '../messages/description.ts';
import type { AnyMethod, AnyService, Draft, Method, Service } from '../messages/description.ts';
import type { SocketFiles } from './socket-files.ts';
import { refusalOf, RpcError, STATUS_NUMBERS } from './status.ts';

export interface Call {
  /** Aborted when nobody waits for the answer any more, with a PfError: CANCELLED, TIMEOUT or UNAVAILABLE (the server ends). */
  readonly signal: AbortSignal;
  /** When the caller gives up, by the world's clock; at most `callMsMax` after the call's begin. */
  readonly deadlineMs: number;
}

export type Handler<M> =
  M extends Method<infer Request, infer Response> ? (request: Request, call: Call) => Promise<Draft<Response>> : never;

/** What a service does; a method that is left out answers UNIMPLEMENTED. */
export type Handlers<S> = S extends Service<infer M> ? { readonly [K in keyof M]?: Handler<M[K]> } : never;

export interface Implementation {
  readonly service: AnyService;
  readonly handlers: Readonly<Record<string, ((request: unknown, call: Call) => Promise<object>) | undefined>>;
}

/** Pairs a service with what it does, so that `serveGrpc` can take several. */
export function implement<S extends AnyService>(service: S, handlers: Handlers<S>): Implementation {
  return { service, handlers: handlers as Implementation['handlers'] };
}

export interface RpcPorts {
  readonly clock: Clock;
  readonly log: Logger;
  readonly sockets: SocketFiles;
}

export interface GrpcServerOptions {
  /** Absolute. */
  readonly socketPath: string;
  readonly services: readonly Implementation[];
  /** Calls at the same time; more are refused as UNAVAILABLE. Default: 256. */
  readonly callsMax?: number;
  /** For callers without a deadline. Default: 5 minutes. */
  readonly callMsMax?: number;
}

export interface GrpcServer extends AsyncDisposable {
  readonly socketPath: string;
  /**
   * Takes no new calls, waits for those under way, aborts them after `graceMs` (default: 5 s), and removes the socket. A handler that
   * goes on for a second after that is left behind, and logged. Idempotent.
   */
  stop(graceMs?: number): Promise<void>;
}

const CALLS_MAX = 256;
const CALL_MS_MAX = 5 * 60_000;
const STOP_GRACE_MS = 5_000;
const ABORT_GRACE_MS = 1_000;
const MESSAGE_BYTES_MAX = 4 * MiB;
const SHOWN_CHARACTERS = 200;

/** Errors: ALREADY_EXISTS when somebody answers on the socket, INVALID_ARGUMENT for an impossible path, IO_ERROR. */
export async function serveGrpc(ports: RpcPorts, options: GrpcServerOptions): Promise<GrpcServer> {
  const { socketPath, services, callsMax = CALLS_MAX, callMsMax = CALL_MS_MAX } = options;
  const server = new Server({
    'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
    'grpc.max_send_message_length': MESSAGE_BYTES_MAX,
  });
  const calls = new Calls(ports, callsMax, callMsMax);
  for (const { service, handlers } of services) addService(server, calls, service, handlers);
  await ports.sockets.clear(socketPath);
  try {
    await bind(server, socketPath);
    await ports.sockets.restrict(socketPath);
  } catch (error) {
    // It may listen already, on a socket that somebody has removed since.
    server.forceShutdown();
    throw error;
  }
  let stopping: Promise<void> | null = null;
  const stop = (graceMs = STOP_GRACE_MS): Promise<void> => (stopping ??= end(ports, server, calls, graceMs));
  return { socketPath, stop, [Symbol.asyncDispose]: () => stop() };
}

function bind(server: Server, socketPath: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.bindAsync(`unix://${socketPath}`, ServerCredentials.createInsecure(), (error) => {
      if (error === null) resolve();
      else reject(new PfError('IO_ERROR', `cannot listen at ${socketPath}`, { cause: error }));
    });
  });
}

async function end({ clock, log }: RpcPorts, server: Server, calls: Calls, graceMs: number): Promise<void> {
  const hasEnded = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
  const grace = clock.after(graceMs, () => {
    calls.abortAll();
    server.forceShutdown();
  });
  await hasEnded;
  grace.cancel();
  // Callers that left may have left handlers behind: who stops the server counts on none running.
  calls.abortAll();
  await new Promise<void>((resolve) => {
    const patience = clock.after(ABORT_GRACE_MS, () => {
      log.error('calls were aborted and go on; their work is left behind', { count: calls.count });
      resolve();
    });
    void calls.idle().then(() => {
      patience.cancel();
      resolve();
    });
  });
}

function addService(server: Server, calls: Calls, service: AnyService, handlers: Implementation['handlers']): void {
  const definition: Record<string, MethodDefinition> = {};
  const implementation: UntypedServiceImplementation = {};
  for (const [name, method] of Object.entries(service.methods)) {
    const handler = handlers[name];
    if (handler === undefined) continue;
    const path = methodPath(service.name, name);
    definition[name] = { ...RAW_METHOD, path };
    const handle = (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>): void => {
      void calls.run({ path, method, handler }, call, answer);
    };
    implementation[name] = handle as UntypedHandleCall;
  }
  // A service of which nothing is done is the same as one that is not there.
  if (Object.keys(definition).length > 0) server.addService(definition, implementation);
}

type MethodDefinition = typeof RAW_METHOD & { readonly path: string };

/** Bytes in, bytes out: what they mean is found out where the status of a refusal can be chosen. */
const RAW_METHOD = {
  requestStream: false,
  responseStream: false,
  requestSerialize: (bytes: Buffer): Buffer => bytes,
  requestDeserialize: (bytes: Buffer): Buffer => bytes,
  responseSerialize: (bytes: Buffer): Buffer => bytes,
  responseDeserialize: (bytes: Buffer): Buffer => bytes,
} as const;

interface Target {
  readonly path: string;
  readonly method: AnyMethod;
  readonly handler: (request: unknown, call: Call) => Promise<object>;
}

class Calls {
  readonly #ports: RpcPorts;
  readonly #callsMax: number;
  readonly #callMsMax: number;
  readonly #running = new Map<AbortController, Promise<void>>();

  constructor(ports: RpcPorts, callsMax: number, callMsMax: number) {
    this.#ports = ports;
    this.#callsMax = callsMax;
    this.#callMsMax = callMsMax;
  }

  get count(): number {
    return this.#running.size;
  }

  async run(target: Target, raw: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>): Promise<void> {
    const startedMs = this.#ports.clock.now();
    const request: { fields: object } = { fields: {} };
    try {
      const response = await this.#handle(target, raw, request);
      this.#say(target, request.fields, startedMs, null);
      answer(null, response);
    } catch (error) {
      this.#say(target, request.fields, startedMs, error);
      const { status, message } = refusalOf(error);
      answer({ code: STATUS_NUMBERS[status], details: message });
    }
  }

  abortAll(): void {
    for (const controller of this.#running.keys())
      controller.abort(new PfError('UNAVAILABLE', 'the driver is ending; call again'));
  }

  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running.values());
  }

  /** Resolves or rejects with the handler, or when its signal is aborted: a handler that does not listen keeps no caller waiting. */
  async #handle(target: Target, raw: ServerUnaryCall<Buffer, Buffer>, seen: { fields: object }): Promise<Buffer> {
    const { clock } = this.#ports;
    const decoded = decodeMessage(target.method.request as Method<object, object>['request'], raw.request);
    seen.fields = decoded;
    if (this.#running.size >= this.#callsMax) {
      throw new RpcError('UNAVAILABLE', `${this.#callsMax} calls are under way, which is the limit; call again`);
    }
    const startedMs = clock.now();
    const limitMs = Math.min(timeLeftMs(raw, clock), this.#callMsMax);
    const deadlineMs = startedMs + limitMs;
    const controller = new AbortController();
    const { signal } = controller;
    const giveUp = (error: PfError): void => controller.abort(error);
    const timer = clock.after(limitMs, () =>
      giveUp(new PfError('TIMEOUT', `${target.path}: no answer within ${Math.round(limitMs)} ms`)),
    );
    const leave = (): void => giveUp(new PfError('CANCELLED', `${target.path}: the caller has left`));
    if (raw.cancelled) leave();
    else raw.once('cancelled', leave);
    const aborted = new Promise<never>((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as PfError), { once: true });
    });
    const handled = (async () => target.handler(decoded, { signal, deadlineMs }))();
    const settled = handled.then(
      () => {},
      () => {}, // Its failure is the race's, or came after the answer and is of interest to nobody.
    );
    this.#running.set(controller, settled);
    void settled.then(() => {
      timer.cancel();
      this.#running.delete(controller);
    });
    const response = await Promise.race([handled, aborted]);
    return Buffer.from(encodeMessage(target.method.response as Method<object, object>['response'], response));
  }

  #say(target: Target, request: object, startedMs: number, error: unknown): void {
    const { clock, log } = this.#ports;
    const fields = { method: target.path, ...plainTexts(target.method, request), ms: Math.round(clock.now() - startedMs) };
    if (error === null) {
      if (target.method.isQuery) log.debug('call', { ...fields, code: 'OK' });
      else log.info('call', { ...fields, code: 'OK' });
      return;
    }
    const { status, isBug } = refusalOf(error);
    const refused = { ...fields, code: status, error: formatErrorChain(error) };
    if (isBug) log.error('call failed unexpectedly', { ...refused, stack: error instanceof Error ? error.stack : undefined });
    else log.warn('call refused', refused);
  }
}

function timeLeftMs(raw: ServerUnaryCall<Buffer, Buffer>, clock: Clock): number {
  const deadline = raw.getDeadline();
  return Math.max(0, Number(deadline) - clock.wallTimeMs());
}

/** Names, ids and paths of a request: its single texts. Maps, where secrets are, and everything nested are left out. */
function plainTexts(method: AnyMethod, request: object): Record<string, string> {
  const shown: Record<string, string> = {};
  for (const [property, field] of Object.entries(method.request.fields)) {
    const value: unknown = (request as Record<string, unknown>)[property];
    if (typeof value === 'string' && value !== '' && !field.isSecret) shown[property] = value.slice(0, SHOWN_CHARACTERS);
  }
  return shown;
}
