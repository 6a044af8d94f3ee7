// The daemon's half of the control socket: it listens, greets, and answers requests. Imported by daemons' main files.
// Who may talk to it is decided by the folder of the socket, which the manager makes private to its user.
// A second instance cannot listen while the first one answers: the socket is a lock, too.
import { errorCodeOf, formatErrorChain, PfError } from '../base/errors.ts';
import type { Listener, Stream } from '../world/network.ts';
import type { World } from '../world/world.ts';
import type { Json } from '../base/json.ts';
import { CONTROL_PROTOCOL, encodeFrame, FrameReader, type Frame, type Request } from './control-frames.ts';

/** Errors become refusals with their code. */
export type ControlHandler = (body: Json) => Json | Promise<Json>;

export interface ControlServerOptions {
  readonly socketPath: string;
  /** What the manager expects to meet at this socket: the name of the service. */
  readonly name: string;
  readonly pid: number;
  readonly handlers: Readonly<Record<string, ControlHandler>>;
  /** Connections at a time; one more is cut off. Default 16. */
  readonly clientsMax?: number;
}

const CLIENTS_MAX = 16;
const IN_FLIGHT_MAX = 1024;

export class ControlServer {
  readonly #world: World;
  readonly #options: ControlServerOptions;
  readonly #handlers: ReadonlyMap<string, ControlHandler>;
  readonly #clients = new Set<Client>();
  #listener: Listener | null = null;

  private constructor(world: World, options: ControlServerOptions) {
    this.#world = world;
    this.#options = options;
    this.#handlers = new Map<string, ControlHandler>([['ping', () => null], ...Object.entries(options.handlers)]);
  }

  /** Errors: ALREADY_EXISTS when another instance answers at the socket. */
  static async open(world: World, options: ControlServerOptions): Promise<ControlServer> {
    const server = new ControlServer(world, options);
    server.#listener = await world.network.listen({ kind: 'unix', path: options.socketPath }, (stream) =>
      server.#welcome(stream),
    );
    return server;
  }

  /** Ends listening and every connection. */
  async close(): Promise<void> {
    await this.#listener?.close();
    for (const client of this.#clients) client.stream.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #welcome(stream: Stream): void {
    const client = new Client(stream, this.#handlers, (reason) => {
      this.#clients.delete(client);
      if (reason !== null && errorCodeOf(reason) === 'PROTOCOL_ERROR') this.#world.log.warn(formatErrorChain(reason));
    });
    this.#clients.add(client);
    if (this.#clients.size > (this.#options.clientsMax ?? CLIENTS_MAX)) {
      stream.destroy();
      return;
    }
    const { name, pid } = this.#options;
    client.send({ kind: 'hello', protocol: CONTROL_PROTOCOL, name, pid });
    client.listen(this.#world);
  }
}

class Client {
  readonly stream: Stream;
  readonly #handlers: ReadonlyMap<string, ControlHandler>;
  readonly #onEnd: (reason: unknown) => void;
  #inFlight = 0;
  #failure: unknown = null;

  constructor(stream: Stream, handlers: ReadonlyMap<string, ControlHandler>, onEnd: (reason: unknown) => void) {
    this.stream = stream;
    this.#handlers = handlers;
    this.#onEnd = onEnd;
    stream.handler = { onBytes() {}, onDirect() {}, onClosed: (error) => this.#onEnd(this.#failure ?? error) };
  }

  listen(world: World): void {
    const reader = new FrameReader();
    this.stream.handler!.onBytes = (offset, length): void => {
      if (this.#failure !== null) return;
      try {
        for (const frame of reader.read(world.memory.bytes.subarray(offset, offset + length))) this.#receive(frame);
      } catch (error) {
        this.#failure = error;
        this.stream.destroy();
      }
    };
  }

  send(frame: Frame): void {
    this.stream.writeBytes(encodeFrame(frame));
  }

  #receive(frame: Frame): void {
    if (frame.kind !== 'request') throw new PfError('PROTOCOL_ERROR', `cannot accept a ${frame.kind}: a manager sends requests`);
    if (this.#inFlight >= IN_FLIGHT_MAX)
      throw new PfError('PROTOCOL_ERROR', `cannot accept more than ${IN_FLIGHT_MAX} requests at a time; wait for replies`);
    this.#inFlight += 1;
    void this.#answer(frame).then((reply) => {
      this.#inFlight -= 1;
      this.stream.writeBytes(reply);
    });
  }

  async #answer({ id, operation, body }: Request): Promise<Uint8Array> {
    try {
      const handler = this.#handlers.get(operation);
      if (handler === undefined) throw new PfError('UNSUPPORTED', `cannot do "${operation}": this daemon does not know it`);
      return encodeFrame({ kind: 'reply', id, body: await handler(body) });
    } catch (error) {
      return encodeFrame({ kind: 'refusal', id, code: errorCodeOf(error), message: formatErrorChain(error).slice(0, 4096) });
    }
  }
}
