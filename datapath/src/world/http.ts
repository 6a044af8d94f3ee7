// HTTP of the control plane, as a port so that conductors and stores run under the simulator unchanged.

export interface HttpRequest {
  readonly method: string;
  /** Decoded path without the query: "/s5c/". */
  readonly path: string;
  readonly query: ReadonlyMap<string, string>;
  readonly body: Uint8Array;
  /** Lower-case names. */
  readonly headers: ReadonlyMap<string, string>;
  readonly peer: string;
}

export interface HttpResponse {
  readonly status: number;
  readonly contentType: string;
  readonly body: Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

export type HttpHandler = (request: HttpRequest) => Promise<HttpResponse>;

export interface HttpServer {
  readonly host: string;
  readonly port: number;
  /** Stops accepting, ends idle connections, waits for the requests being answered (at most 2 s). */
  close(): Promise<void>;
}

export interface HttpCall {
  readonly method: 'GET' | 'POST';
  readonly host: string;
  readonly port: number;
  /** Path with query: "/s5c/?op=list_volume". */
  readonly target: string;
  readonly body?: Uint8Array;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

export interface Http {
  /** Bodies over 16 MiB are refused with 413; a handler that throws answers 500 with the error's text. */
  serve(host: string, port: number, handler: HttpHandler): Promise<HttpServer>;
  /** Errors: CONNECTION_LOST, TIMEOUT, PROTOCOL_ERROR. Any HTTP status resolves. Connections are kept alive. */
  request(call: HttpCall): Promise<HttpResponse>;
}
