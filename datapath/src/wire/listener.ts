// The door of a store's data plane: accepts connections, keeps their number and the pool of commands, and sees to it that a client
// that connects again is served only after everything its older connection had in flight has ended.
// Opened by the store service (and by tests in front of a fake store).
import { PfError } from '../base/errors.ts';
import type { Timer } from '../world/clock.ts';
import type { Address, Listener, Stream } from '../world/network.ts';
import type { World } from '../world/world.ts';
import type { Admission, Authorize, PeerHandshake } from './admission.ts';
import { MAX_IO_DEPTH } from './messages.ts';
import { ServerCommand } from './server-command.ts';
import { ServerSession, SWEEP_MS, type SessionHost, type SessionLimits } from './server-session.ts';

export interface DataListenerOptions {
  /** Called once per connection, synchronously. */
  readonly authorize: Authorize;
  /** Default 255. */
  readonly maximumDepth?: number;
  /** Default 4096; one more is closed at once. */
  readonly maximumConnections?: number;
  /** Payload memory of one connection. Default 32 MiB. */
  readonly payloadBudgetBytes?: number;
  /** Default 5000. */
  readonly handshakeTimeoutMs?: number;
}

const SIGN_OF_LIFE_MS = 250;

export class DataListener implements SessionHost {
  readonly world: World;
  readonly limits: SessionLimits;
  readonly #options: DataListenerOptions;
  readonly #maximumConnections: number;
  readonly #sessions = new Set<ServerSession>();
  /** By supersede key: the client's sessions that are not quiet, oldest first; only the last one lives. */
  readonly #ofClient = new Map<string, ServerSession[]>();
  /** Sessions that may need signs of life; each is looked at once more before it leaves. */
  readonly #keptAlive = new Set<ServerSession>();
  readonly #pool: ServerCommand[] = [];
  #listener: Listener | null = null;
  #ticker: Timer | null = null;
  readonly #sweeper: Timer;
  #isClosing = false;
  #whenEmpty: (() => void)[] = [];

  /** Errors: ALREADY_EXISTS when the address is taken. */
  static async open(world: World, address: Address, options: DataListenerOptions): Promise<DataListener> {
    const listener = new DataListener(world, options);
    try {
      listener.#listener = await world.network.listen(address, (stream) => listener.#onStream(stream));
    } catch (error) {
      listener.#sweeper.cancel();
      throw error;
    }
    return listener;
  }

  private constructor(world: World, options: DataListenerOptions) {
    this.world = world;
    this.#options = options;
    this.#maximumConnections = options.maximumConnections ?? 4096;
    this.limits = {
      maximumDepth: Math.min(options.maximumDepth ?? MAX_IO_DEPTH, MAX_IO_DEPTH),
      payloadBudgetBytes: options.payloadBudgetBytes ?? 32 * 1024 * 1024,
      handshakeTimeoutMs: options.handshakeTimeoutMs ?? 5000,
    };
    this.#sweeper = world.clock.every(SWEEP_MS, () => {
      for (const session of this.#sessions) session.sweep();
    });
  }

  /** The real address. */
  get address(): Address {
    return this.#listener!.address;
  }

  /** Connections that are open or still have commands in flight. */
  get connectionCount(): number {
    return this.#sessions.size;
  }

  /** Breaks connections: all, or those for which `which` holds. Their commands in flight go on; nobody is answered. */
  disconnect(which: (session: ServerSession) => boolean = () => true): void {
    for (const session of [...this.#sessions]) if (which(session)) session.destroy();
  }

  /** Stops accepting, breaks all connections and waits for the commands in flight. Idempotent. */
  async close(): Promise<void> {
    this.#isClosing = true;
    await this.#listener?.close();
    this.disconnect();
    if (this.#sessions.size > 0) await new Promise<void>((resolve) => this.#whenEmpty.push(resolve));
    this.#sweeper.cancel();
    this.#ticker?.cancel();
    this.#ticker = null;
  }

  admit(handshake: PeerHandshake): Admission {
    return this.#options.authorize(handshake);
  }

  enlist(session: ServerSession): boolean {
    const key = session.supersedeKey;
    if (key === '') return true;
    const older = this.#ofClient.get(key);
    if (older === undefined) {
      this.#ofClient.set(key, [session]);
      return true;
    }
    for (const each of older) each.destroy();
    older.push(session);
    return false;
  }

  takeCommand(session: ServerSession): ServerCommand {
    return this.#pool.pop() ?? new ServerCommand(session);
  }

  giveCommand(command: ServerCommand): void {
    command.tag = null;
    this.#pool.push(command);
  }

  keepAlive(session: ServerSession): void {
    this.#keptAlive.add(session);
    this.#ticker ??= this.world.clock.every(SIGN_OF_LIFE_MS, () => this.#tick());
  }

  sessionQuiet(session: ServerSession): void {
    this.#sessions.delete(session);
    const key = session.supersedeKey;
    const ofClient = this.#ofClient.get(key);
    const at = ofClient === undefined ? -1 : ofClient.indexOf(session);
    if (ofClient !== undefined && at >= 0) {
      ofClient.splice(at, 1);
      if (ofClient.length === 0) this.#ofClient.delete(key);
      else if (ofClient[0]!.isWaiting) ofClient[0]!.grant();
    }
    if (this.#sessions.size > 0) return;
    for (const resolve of this.#whenEmpty.splice(0)) resolve();
  }

  #onStream(stream: Stream): void {
    const session = new ServerSession(this, stream);
    this.#sessions.add(session);
    stream.handler = session;
    if (this.#isClosing) return session.destroy();
    if (this.#sessions.size <= this.#maximumConnections) return;
    const error = new PfError('UNAVAILABLE', `connection of ${stream.peer} refused: ${this.#maximumConnections} are open`);
    this.world.log.warn(error.message);
    session.destroy();
  }

  #tick(): void {
    for (const session of this.#keptAlive) {
      if (session.takesLong) session.sendSignOfLife();
      else this.#keptAlive.delete(session);
    }
    if (this.#keptAlive.size > 0) return;
    this.#ticker?.cancel();
    this.#ticker = null;
  }
}
