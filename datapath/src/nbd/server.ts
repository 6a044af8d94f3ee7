// The NBD server, to be embedded: serves named exports on an address, or on streams that the embedder accepted itself.
// No global state, no exit, no signals: any number of servers may live in one world.
import { PfError } from '../base/errors.ts';
import type { Address, Listener, Stream } from '../world/network.ts';
import type { World } from '../world/world.ts';
import { NbdConnection, type ConnectionContext, type NbdSession } from './connection.ts';
import { ExportShelf, type NbdExport } from './export.ts';

export interface NbdLimits {
  /** A client that has not chosen an export by then is disconnected. */
  readonly handshakeTimeoutMs: number;
  readonly maxOptions: number;
  readonly maxOptionBytes: number;
  readonly maxConnections: number;
  /** In flight per connection; a client that sends more waits. */
  readonly maxRequests: number;
  readonly maxPayloadBytes: number;
  /** How long close() lets clients take their last answers before it cuts them off. */
  readonly closeTimeoutMs: number;
}

export const DEFAULT_LIMITS: NbdLimits = {
  handshakeTimeoutMs: 10_000,
  maxOptions: 64,
  maxOptionBytes: 32 * 1024,
  maxConnections: 1024,
  maxRequests: 256,
  maxPayloadBytes: 16 * 1024 * 1024,
  closeTimeoutMs: 5_000,
};

export interface NbdServerOptions {
  /** Without it only acceptStream() brings clients. */
  readonly address?: Address;
  /** Instead of an address: the socket of a server in another thread (its listenDescriptor), which must be closed after this one. */
  readonly sharedListener?: { readonly descriptor: number; readonly address: Address };
  readonly exports: readonly NbdExport[];
  readonly limits?: Partial<NbdLimits>;
}

/** What a server needs of the world. */
export type NbdWorld = Pick<World, 'memory' | 'clock' | 'network' | 'log'>;

export interface NbdServer {
  /** Where it listens, with the port that was chosen for port 0. */
  readonly address: Address | null;
  /** For the sharedListener of servers in other threads; null where sockets cannot be shared, or without an address. */
  readonly listenDescriptor: number | null;
  readonly connectionCount: number;
  /** Serves a stream that was accepted elsewhere; call it in the turn in which the stream was handed over. */
  acceptStream(stream: Stream): void;
  /**
   * Serves a stream that starts with requests, answered by simple replies, because export and size were agreed on otherwise: the kernel's
   * client. Call it in the turn in which the stream was handed over. An export that cannot be opened ends the stream.
   */
  acceptTransmission(stream: Stream, exportName: string): NbdSession;
  /** Errors: ALREADY_EXISTS, INVALID_ARGUMENT. */
  addExport(item: NbdExport): void;
  /** Disconnects its clients after answering what is in flight. Error NOT_FOUND. */
  removeExport(name: string): Promise<void>;
  /** Stops listening, answers what is in flight, disconnects everybody, closes what open() gave. Idempotent. */
  close(): Promise<void>;
}

/** Errors: INVALID_ARGUMENT, ALREADY_EXISTS, and those of Network.listen. */
export async function serveNbd(world: NbdWorld, options: NbdServerOptions): Promise<NbdServer> {
  const server = new ListeningServer(world, options);
  if (options.address !== undefined) await server.listen(options.address);
  if (options.sharedListener !== undefined)
    await server.listenShared(options.sharedListener.descriptor, options.sharedListener.address);
  return server;
}

class ListeningServer implements NbdServer {
  address: Address | null = null;
  listenDescriptor: number | null = null;
  readonly #world: NbdWorld;
  readonly #limits: NbdLimits;
  readonly #shelf: ExportShelf;
  readonly #context: ConnectionContext;
  readonly #connections = new Set<NbdConnection>();
  /** Told whenever a connection is over. */
  readonly #watchers = new Set<() => void>();
  #stopListening: () => Promise<void> = async () => {};
  #closing: Promise<void> | null = null;

  constructor(world: NbdWorld, options: NbdServerOptions) {
    this.#world = world;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#shelf = new ExportShelf(world.log);
    for (const item of options.exports) this.#shelf.add(item);
    const { memory, clock, log } = world;
    this.#context = { memory, clock, log, shelf: this.#shelf, limits: this.#limits, onOver: (each) => this.#forget(each) };
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  async listen(address: Address): Promise<void> {
    const listener = await this.#world.network.listen(address, (stream) => this.acceptStream(stream));
    this.#accept(listener);
  }

  async listenShared(descriptor: number, address: Address): Promise<void> {
    const { network } = this.#world;
    if (network.listenShared === undefined) {
      throw new PfError('UNSUPPORTED', 'several threads cannot serve one address without io_uring; serve it with one thread');
    }
    this.#accept(await network.listenShared(descriptor, address, (stream) => this.acceptStream(stream)));
  }

  acceptStream(stream: Stream): void {
    if (this.#closing !== null || this.#connections.size >= this.#limits.maxConnections) {
      this.#world.log.warn('NBD client refused', { peer: stream.peer, connections: this.#connections.size });
      stream.handler = REFUSED;
      stream.destroy();
      return;
    }
    this.#connections.add(new NbdConnection(stream, this.#context));
  }

  acceptTransmission(stream: Stream, exportName: string): NbdSession {
    const connection = new NbdConnection(stream, this.#context, exportName);
    this.#connections.add(connection);
    if (this.#closing !== null) connection.destroy();
    return connection;
  }

  addExport(item: NbdExport): void {
    this.#shelf.add(item);
  }

  async removeExport(name: string): Promise<void> {
    const removal = this.#shelf.remove(name);
    if (removal === null) throw new PfError('NOT_FOUND', `cannot remove export "${name}": there is none of that name`);
    await this.#disconnect((connection) => connection.exportName === name);
    await removal.settled();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#stopListening();
    await this.#disconnect(() => true);
    await this.#shelf.settled();
  }

  /** Drains the chosen connections, cuts off those that take too long, and waits for the last. */
  async #disconnect(isChosen: (connection: NbdConnection) => boolean): Promise<void> {
    const chosen = [...this.#connections].filter(isChosen);
    if (chosen.length === 0) return;
    const deadline = this.#world.clock.after(this.#limits.closeTimeoutMs, () => chosen.forEach((each) => each.destroy()));
    const over = new Promise<void>((resolve) => {
      const check = (): void => {
        if (chosen.some((each) => this.#connections.has(each))) return;
        this.#watchers.delete(check);
        resolve();
      };
      this.#watchers.add(check);
    });
    for (const connection of chosen) connection.drain();
    await over;
    deadline.cancel();
  }

  #accept(listener: Listener): void {
    this.address = listener.address;
    this.listenDescriptor = listener.descriptor ?? null;
    this.#stopListening = () => listener.close();
  }

  #forget(connection: NbdConnection): void {
    this.#connections.delete(connection);
    for (const watcher of [...this.#watchers]) watcher();
  }
}

const REFUSED = { onBytes() {}, onDirect() {}, onClosed() {} };
