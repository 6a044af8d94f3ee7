// Calls a described service on a unix socket. Used by the walker, which plays kubelet, and by tests; the driver itself calls nobody by gRPC.
import { Client, credentials } from '@grpc/grpc-js';
import type { ServiceError } from '@grpc/grpc-js';
import type { Clock } from '@pureflash/datapath/world';
import { decodeMessage, encodeMessage } from '../messages/codec.ts';
import { methodPath } from '../messages/description.ts';
import type { AnyMethod, AnyService, Draft, Method, Service } from '../messages/description.ts';
import { RpcError, statusOfNumber, type RpcStatus } from './status.ts';

export interface RpcCallOptions {
  /** Default: 2 minutes. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export type RpcClient<S> =
  S extends Service<infer M>
    ? {
        readonly [K in keyof M]: M[K] extends Method<infer Request, infer Response>
          ? (request: Draft<Request>, options?: RpcCallOptions) => Promise<Response>
          : never;
      }
    : never;

export interface GrpcConnection extends Disposable {
  /** Every refusal is an RpcError. Several services can share the connection. */
  client<S extends AnyService>(service: S): RpcClient<S>;
  close(): void;
}

const TIMEOUT_MS = 120_000;
const MESSAGE_BYTES_MAX = 4 * 1024 * 1024;

/** Connects with the first call, and again when the server was restarted. */
export function connectGrpc(clock: Clock, socketPath: string): GrpcConnection {
  const client = new Client(`unix://${socketPath}`, credentials.createInsecure(), {
    'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
    'grpc.enable_http_proxy': 0,
    'grpc.use_local_subchannel_pool': 1,
    'grpc.initial_reconnect_backoff_ms': 50,
    'grpc.max_reconnect_backoff_ms': 1_000,
  });
  const close = (): void => client.close();
  return {
    client<S extends AnyService>(service: S): RpcClient<S> {
      const methods = Object.entries(service.methods).map(([name, method]) => [
        name,
        (request: object, options?: RpcCallOptions) =>
          call(client, clock, methodPath(service.name, name), method, request, options ?? {}),
      ]);
      return Object.fromEntries(methods) as RpcClient<S>;
    },
    close,
    [Symbol.dispose]: close,
  };
}

function call(
  client: Client,
  clock: Clock,
  path: string,
  method: AnyMethod,
  request: object,
  options: RpcCallOptions,
): Promise<object> {
  const { timeoutMs = TIMEOUT_MS, signal } = options;
  const { request: requestType, response: responseType } = method as Method<object, object>;
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) return reject(signal.reason as Error);
    const leave = (): void => running.cancel();
    const done = (error: ServiceError | null, bytes?: Buffer): void => {
      signal?.removeEventListener('abort', leave);
      if (signal?.aborted === true) return reject(signal.reason as Error);
      if (error !== null) {
        const status = statusOfNumber(error.code) as Exclude<RpcStatus, 'OK'>;
        return reject(new RpcError(status, error.details, { cause: error }));
      }
      try {
        resolve(decodeMessage(responseType, bytes ?? new Uint8Array()));
      } catch (failure) {
        reject(failure as Error);
      }
    };
    const raw = (bytes: Buffer): Buffer => bytes;
    const body = Buffer.from(encodeMessage(requestType, request));
    const running = client.makeUnaryRequest(path, raw, raw, body, { deadline: clock.wallTimeMs() + timeoutMs }, done);
    signal?.addEventListener('abort', leave, { once: true });
  });
}
