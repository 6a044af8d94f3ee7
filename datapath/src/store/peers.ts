// Connections to other stores: one per store and address, shared by all shards, opened when something is to be sent and opened
// again after it broke. Used by replica links and by the cold paths (promotion, recovery, repair).
//
//   idle --submit--> connecting --granted--> up --broken, reset()--> idle
//
// Invariants: a command is finished exactly once, and not before the stream has let go of its memory; what was submitted while
// connecting leaves in order, or is finished with CONNECTION_LOST when connecting fails. A new connection does not end the one
// before at the other store: what that one still carries is told apart by its meta version, for a failed link is never resumed
// within a configuration.
import { formatErrorChain, type PfError } from '../base/errors.ts';
import { parseHostPort } from '../api/host-port.ts';
import { ClientSession } from '../wire/client-session.ts';
import { CommandQueue } from '../wire/command-queue.ts';
import type { StoreCommand, StoreLink } from '../wire/command.ts';
import { MAX_IO_DEPTH } from '../wire/messages.ts';
import { STATUS_CONNECTION_LOST, STATUS_NOT_READY } from '../wire/status.ts';
import type { World } from '../world/world.ts';

const QUEUE_LIMIT = 65536;
const CONNECT_TIMEOUT_MS = 900;

export class Peers {
  readonly #world: World;
  readonly #peers = new Map<string, Peer>();
  #clusterToken = 0;

  constructor(world: World) {
    this.#world = world;
  }

  setClusterToken(token: number): void {
    this.#clusterToken = token;
  }

  /** `address`: "host:port" of the store's data plane. */
  to(address: string): Peer {
    let peer = this.#peers.get(address);
    if (peer === undefined) {
      peer = new Peer(this.#world, address, this.#world.random.u32(), () => this.#clusterToken);
      this.#peers.set(address, peer);
    }
    return peer;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#peers.values()].map((peer) => peer.close()));
  }
}

export class Peer implements StoreLink {
  readonly address: string;
  readonly #world: World;
  readonly #clientId: number;
  readonly #clusterToken: () => number;
  readonly #queue = new CommandQueue(QUEUE_LIMIT);
  #session: ClientSession | null = null;
  #isConnecting = false;
  #isClosed = false;
  #hasComplained = false;
  #closing: Promise<void> = Promise.resolve();

  constructor(world: World, address: string, clientId: number, clusterToken: () => number) {
    this.#world = world;
    this.address = address;
    this.#clientId = clientId;
    this.#clusterToken = clusterToken;
  }

  get isUp(): boolean {
    return this.#session !== null;
  }

  submit(command: StoreCommand): void {
    if (this.#session !== null) return this.#session.submit(command);
    if (this.#isClosed) return command.finish(STATUS_CONNECTION_LOST);
    if (!this.#queue.push(command)) return command.finish(STATUS_NOT_READY);
    if (!this.#isConnecting) void this.#connect();
  }

  /** Breaks the connection: everything in flight on it is finished with CONNECTION_LOST. */
  reset(): void {
    const session = this.#session;
    this.#session = null;
    if (session !== null) this.#closing = Promise.all([this.#closing, session.close()]).then(() => undefined);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.reset();
    await this.#closing;
  }

  async #connect(): Promise<void> {
    this.#isConnecting = true;
    let session: ClientSession | null = null;
    try {
      const { host, port } = parseHostPort(this.address);
      session = await ClientSession.connect(
        this.#world,
        { kind: 'tcp', host, port },
        {
          volumeId: 0,
          clientId: this.#clientId,
          token: this.#clusterToken(),
          depth: MAX_IO_DEPTH,
          connectTimeoutMs: CONNECT_TIMEOUT_MS,
          maximumQueued: QUEUE_LIMIT,
          onDown: (error) => this.#wentDown(session, error),
        },
      );
      this.#hasComplained = false;
    } catch (error) {
      if (!this.#hasComplained)
        this.#world.log.warn('cannot connect to another store; trying on', {
          store: this.address,
          error: formatErrorChain(error),
        });
      this.#hasComplained = true;
    }
    this.#isConnecting = false;
    if (session !== null && !this.#isClosed) {
      this.#session = session;
    } else if (session !== null) {
      this.#closing = session.close();
    }
    for (let next = this.#queue.shift(); next !== null; next = this.#queue.shift()) {
      if (this.#session === null) next.finish(STATUS_CONNECTION_LOST);
      else this.#session.submit(next);
    }
  }

  #wentDown(session: ClientSession | null, error: PfError): void {
    if (this.#session !== session) return;
    this.#session = null;
    if (!this.#isClosed)
      this.#world.log.warn('lost the connection to another store', { store: this.address, error: error.message });
  }
}
