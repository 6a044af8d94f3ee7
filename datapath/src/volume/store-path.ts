// The way to one store: a set of TCP sessions, made when they are first needed and made again when they broke, or a link to a store in
// this process. Owned by ShardRouter; shared by all shards whose primary is that store.
import { formatErrorChain, PfError } from '../base/errors.ts';
import type { Address } from '../world/network.ts';
import type { World } from '../world/world.ts';
import { ClientSession } from '../wire/client-session.ts';
import type { StoreLink } from '../wire/command.ts';
import { PROTOCOL_V2 } from '../wire/messages.ts';

export interface PathOptions {
  readonly volumeId: number;
  readonly token: number;
  /** One per connection: the store ends what an older connection of the same id had in flight before it serves the new one. */
  readonly clientIds: readonly number[];
  readonly depth: number;
}

const RECONNECT_MS = 100;
const CONNECT_TIMEOUT_MS = 1000;

export class StorePath {
  readonly storeId: number;
  readonly #world: World;
  readonly #address: Address;
  readonly #options: PathOptions;
  readonly #onUp: (path: StorePath) => void;
  readonly #localLink: StoreLink | null;
  readonly #sessions: (ClientSession | null)[];
  readonly #isConnecting: boolean[];
  readonly #nextTryMs: number[];
  readonly #connecting = new Set<Promise<void>>();
  #isClosed = false;
  #hasComplained = false;

  constructor(
    world: World,
    storeId: number,
    address: Address,
    options: PathOptions,
    localLink: StoreLink | null,
    onUp: (path: StorePath) => void,
  ) {
    this.#world = world;
    this.storeId = storeId;
    this.#address = address;
    this.#options = options;
    this.#localLink = localLink;
    this.#onUp = onUp;
    this.#sessions = options.clientIds.map(() => null);
    this.#isConnecting = options.clientIds.map(() => false);
    this.#nextTryMs = options.clientIds.map(() => 0);
  }

  /** The link, or null while there is none; then a connection is being made and onUp follows. */
  linkFor(connection: number): StoreLink | null {
    if (this.#localLink !== null) return this.#localLink.isUp ? this.#localLink : null;
    const session = this.#sessions[connection]!;
    if (session !== null && session.isUp) return session;
    this.#reconnect(connection);
    return null;
  }

  /** The session that linkFor gave, or null for a store in this process. */
  sessionFor(connection: number): ClientSession | null {
    return this.#sessions[connection]!;
  }

  /** Makes all connections in advance. */
  prepare(): void {
    for (let connection = 0; connection < this.#sessions.length; connection += 1) this.linkFor(connection);
  }

  /** What is in flight comes back with STATUS_CONNECTION_LOST. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#connecting, ...this.#sessions.map((session) => session?.close())]);
  }

  #reconnect(connection: number): void {
    if (this.#isClosed || this.#isConnecting[connection]! || this.#world.clock.now() < this.#nextTryMs[connection]!) return;
    this.#isConnecting[connection] = true;
    const connecting = this.#connect(connection).finally(() => this.#connecting.delete(connecting));
    this.#connecting.add(connecting);
  }

  async #connect(connection: number): Promise<void> {
    const { volumeId, token, clientIds, depth } = this.#options;
    try {
      const session = await ClientSession.connect(this.#world, this.#address, {
        volumeId,
        token,
        depth,
        clientId: clientIds[connection]!,
        connectTimeoutMs: CONNECT_TIMEOUT_MS,
      });
      this.#isConnecting[connection] = false;
      if (this.#isClosed) return await session.close();
      if (session.protocolVersion < PROTOCOL_V2) {
        await session.close();
        throw new PfError(
          'UNSUPPORTED',
          `store ${session.peer} speaks protocol version ${session.protocolVersion}: a volume client needs version 2`,
        );
      }
      this.#sessions[connection] = session;
      this.#hasComplained = false;
      this.#onUp(this);
    } catch (error) {
      this.#isConnecting[connection] = false;
      this.#nextTryMs[connection] = this.#world.clock.now() + RECONNECT_MS;
      if (this.#hasComplained) return;
      this.#hasComplained = true;
      this.#world.log.warn('cannot reach a store; trying again', { storeId: this.storeId, error: formatErrorChain(error) });
    }
  }
}
