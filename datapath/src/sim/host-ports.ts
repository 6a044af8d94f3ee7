// Who listens where on one machine: TCP ports (shared by streams and HTTP servers) and unix socket paths.
import { PfError } from '../base/errors.ts';
import type { HttpHandler } from '../world/http.ts';
import type { Stream } from '../world/network.ts';
import type { SimHost } from './sim-host.ts';
import type { ServedExchange } from './sim-http.ts';
import type { SimProcess } from './sim-process.ts';

export interface StreamEndpoint {
  readonly kind: 'stream';
  readonly process: SimProcess;
  readonly boundHost: string;
  readonly onStream: (stream: Stream) => void;
}

export interface HttpEndpoint {
  readonly kind: 'http';
  readonly process: SimProcess;
  readonly boundHost: string;
  readonly handler: HttpHandler;
  /** Requests being answered. */
  readonly exchanges: Set<ServedExchange>;
}

export type Endpoint = StreamEndpoint | HttpEndpoint;

const FIRST_EPHEMERAL_PORT = 32_768;

export class HostPorts {
  readonly #host: SimHost;
  readonly #byPort = new Map<number, Endpoint>();
  /** Null: a socket file that a dead process left behind. */
  readonly #byPath = new Map<string, StreamEndpoint | null>();
  #nextEphemeral = FIRST_EPHEMERAL_PORT;

  constructor(host: SimHost) {
    this.#host = host;
  }

  /** Takes `port`, or a free one for 0, and returns it. */
  bind(port: number, endpoint: Endpoint): number {
    if (!['0.0.0.0', '::', '127.0.0.1', '::1', 'localhost', this.#host.address, this.#host.name].includes(endpoint.boundHost)) {
      throw new PfError(
        'INVALID_ARGUMENT',
        `cannot listen on ${endpoint.boundHost}: host ${this.#host.name} has the address ${this.#host.address}`,
      );
    }
    const chosen = port === 0 ? this.ephemeralPort() : port;
    if (this.#byPort.has(chosen)) {
      throw new PfError(
        'ALREADY_EXISTS',
        `cannot listen on ${endpoint.boundHost}:${chosen}: another socket listens there; choose another port`,
      );
    }
    this.#byPort.set(chosen, endpoint);
    return chosen;
  }

  unbind(port: number): void {
    this.#byPort.delete(port);
  }

  at(port: number, isFromOutside: boolean): Endpoint | null {
    const endpoint = this.#byPort.get(port) ?? null;
    if (endpoint === null || (isFromOutside && ['127.0.0.1', '::1', 'localhost'].includes(endpoint.boundHost))) return null;
    return endpoint;
  }

  bindPath(path: string, endpoint: StreamEndpoint): void {
    if (this.#byPath.get(path)) {
      throw new PfError('ALREADY_EXISTS', `cannot listen on ${path}: another process serves it; stop it or choose another path`);
    }
    this.#byPath.set(path, endpoint);
  }

  /** `leavesFile`: the process died and could not remove the socket's file. */
  unbindPath(path: string, leavesFile: boolean): void {
    if (leavesFile) this.#byPath.set(path, null);
    else this.#byPath.delete(path);
  }

  /** Undefined when there is no such file, null when nobody serves it. */
  atPath(path: string): StreamEndpoint | null | undefined {
    return this.#byPath.get(path);
  }

  ephemeralPort(): number {
    do {
      this.#nextEphemeral = this.#nextEphemeral >= 60_999 ? FIRST_EPHEMERAL_PORT : this.#nextEphemeral + 1;
    } while (this.#byPort.has(this.#nextEphemeral));
    return this.#nextEphemeral;
  }
}
