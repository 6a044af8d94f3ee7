// Many logical services in one process: attach, detach, change while running. Called by programs; the daemon's half is mux-server.ts.
// What is wished is kept here; the daemon says what it has each time it comes online, and the difference is told to it. So a process that
// died in the middle of anything gets everything again, and one that an earlier manager left gets only what has changed.
// The first attachment starts the process, the last detachment stops it.
import { errorCodeOf, formatErrorChain, PfError } from '../base/errors.ts';
import type { Timer } from '../world/clock.ts';
import type { World } from '../world/world.ts';
import type { Json, JsonObject } from '../base/json.ts';
import { hashJson } from './config-change.ts';
import { planMux, type MuxStep } from './mux-plan.ts';
import { Service, type ServiceDefinition, type ServiceListener, type ServicePlaces } from './service.ts';
import { Watchers } from './watchers.ts';

interface Attachment {
  readonly config: JsonObject;
  readonly hash: string;
  /** Why the daemon does not want it. Not asked again until it changes. */
  refusal: PfError | null;
}

export interface MuxServiceOptions {
  /** For one step of the daemon. */
  readonly stepMs: number;
  /** How long attach(), detach() and settle() wait. */
  readonly settleMs: number;
}

const DEFAULT_OPTIONS: MuxServiceOptions = { stepMs: 10_000, settleMs: 60_000 };
const STEPS_AT_A_TIME = 32;
/** Between two attempts to tell a daemon that does not want to hear; doubled each time. */
const AGAIN_AFTER_MS = 200;
const AGAIN_AT_MOST_MS = 10_000;

export class MuxService {
  readonly #world: World;
  readonly #options: MuxServiceOptions;
  readonly #wished = new Map<string, Attachment>();
  readonly #watchers = new Watchers();
  #service!: Service;
  /** What the daemon has; null until it has said so, and whenever that is in doubt. */
  #attached: Map<string, string> | null = null;
  #isTelling = false;
  #againMs = AGAIN_AFTER_MS;
  #timer: Timer | null = null;
  #isClosed = false;

  private constructor(world: World, options: MuxServiceOptions) {
    this.#world = world;
    this.#options = options;
  }

  static async open(
    world: World,
    places: ServicePlaces,
    definition: ServiceDefinition,
    listener: ServiceListener = () => {},
    options: Partial<MuxServiceOptions> = {},
  ): Promise<MuxService> {
    const mux = new MuxService(world, { ...DEFAULT_OPTIONS, ...options });
    mux.#service = await Service.open(world, places, definition, (service, notice) => {
      if (notice === 'connected' || notice === 'disconnected') mux.#attached = null;
      if (notice === 'connected') mux.#tell();
      mux.#watchers.wake();
      listener(service, notice);
    });
    return mux;
  }

  get service(): Service {
    return this.#service;
  }

  /** Names that the daemon has, as far as is known. */
  get attached(): readonly string[] {
    return [...(this.#attached?.keys() ?? [])];
  }

  get wished(): readonly string[] {
    return [...this.#wished.keys()];
  }

  /** Idempotent; another configuration changes it. Errors: the daemon's refusal; TIMEOUT; INVALID_STATE when the process cannot be had. */
  async attach(name: string, config: JsonObject, signal?: AbortSignal): Promise<void> {
    const hash = hashJson(this.#world, config);
    const present = this.#wished.get(name);
    if (present?.hash !== hash || present.refusal !== null) this.#wished.set(name, { config, hash, refusal: null });
    await this.#ensureProcess(signal);
    this.#tell();
    await this.#until(`attach "${name}"`, () => this.#attached?.get(name) === hash || this.#isReplaced(name, hash), signal);
  }

  /** Content when it is not attached. */
  async detach(name: string, signal?: AbortSignal): Promise<void> {
    this.#wished.delete(name);
    if (this.#wished.size === 0) {
      await this.#service.stop({ isRemembered: false }, signal).catch((error: unknown) => {
        if (this.#wished.size === 0) throw error; // Else somebody attaches, and the process is wished again.
      });
      if (this.#wished.size === 0) return;
    }
    this.#tell();
    await this.#until(`detach "${name}"`, () => this.#attached?.has(name) === false || this.#wished.has(name), signal);
  }

  /** Makes exactly these the attached ones: for a manager that starts, which knows what is wished from its configuration. */
  async manage(wished: ReadonlyMap<string, JsonObject>, signal?: AbortSignal): Promise<void> {
    for (const name of [...this.#wished.keys()]) if (!wished.has(name)) this.#wished.delete(name);
    for (const [name, config] of wished) {
      const hash = hashJson(this.#world, config);
      const present = this.#wished.get(name);
      if (present?.hash !== hash || present.refusal !== null) this.#wished.set(name, { config, hash, refusal: null });
    }
    if (this.#wished.size === 0) return this.#service.stop({ isRemembered: false }, signal);
    await this.#ensureProcess(signal);
    this.#tell();
    await this.settle(signal);
  }

  /** Until the daemon has what is wished, but for what it refuses. */
  settle(signal?: AbortSignal): Promise<void> {
    return this.#until('settle', () => this.#attached !== null && this.#plan().length === 0, signal);
  }

  /** The process runs on. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#watchers.wake();
    await this.#service.close();
  }

  async #ensureProcess(signal?: AbortSignal): Promise<void> {
    if (!this.#service.isOnline || this.#service.state.wish === 'stop') await this.#service.manage(signal);
  }

  #isReplaced(name: string, hash: string): boolean {
    const attachment = this.#wished.get(name);
    if (attachment === undefined || attachment.hash !== hash)
      throw new PfError('CANCELLED', `cannot attach "${name}": another wish for it came in between`);
    if (attachment.refusal !== null) throw attachment.refusal;
    return false;
  }

  #plan(): MuxStep[] {
    const wished = new Map([...this.#wished].map(([name, { hash }]) => [name, hash]));
    return planMux(wished, this.#attached!).filter(({ name }) => (this.#wished.get(name)?.refusal ?? null) === null);
  }

  /** Begins to tell the daemon what is wished, unless that is going on. */
  #tell(): void {
    if (this.#isTelling || this.#isClosed || !this.#service.isOnline) return;
    this.#timer?.cancel();
    this.#isTelling = true;
    this.#tellAll().then(
      () => {
        this.#isTelling = false;
        this.#againMs = AGAIN_AFTER_MS;
        // A wish that came between the last look and this line.
        if (this.#attached !== null && this.#plan().length > 0) this.#tell();
      },
      (error: unknown) => {
        this.#isTelling = false;
        this.#attached = null; // Did it arrive? The daemon will say what it has.
        this.#world.log.warn(`the attachments of ${this.#service.name} are told again: ${formatErrorChain(error)}`);
        if (!this.#isClosed) this.#timer = this.#world.clock.after(this.#againMs, () => this.#tell());
        this.#againMs = Math.min(this.#againMs * 2, AGAIN_AT_MOST_MS);
      },
    );
  }

  async #tellAll(): Promise<void> {
    for (;;) {
      this.#attached ??= parseList(await this.#service.request('list', null, this.#options.stepMs));
      const steps = this.#plan().slice(0, STEPS_AT_A_TIME);
      this.#watchers.wake();
      if (steps.length === 0) return;
      await Promise.all(steps.map((each) => this.#tellOne(each)));
    }
  }

  async #tellOne({ kind, name }: MuxStep): Promise<void> {
    const wish = this.#wished.get(name);
    const attached = this.#attached;
    try {
      const body: Json = wish === undefined ? { name } : { name, hash: wish.hash, config: wish.config };
      await this.#service.request(kind, body, this.#options.stepMs);
    } catch (error) {
      if (wish === undefined || isDoubtful(error)) throw error;
      wish.refusal = new PfError(errorCodeOf(error), `cannot ${kind} "${name}" at ${this.#service.name}`, { cause: error });
      return;
    }
    if (wish === undefined) attached?.delete(name);
    else attached?.set(name, wish.hash);
  }

  async #until(what: string, condition: () => boolean, signal?: AbortSignal): Promise<void> {
    const { name, logPath } = this.#service;
    const { settleMs } = this.#options;
    const look = (): boolean => {
      if (this.#isClosed) throw new PfError('CANCELLED', `cannot ${what}: the manager was closed`);
      const { phase } = this.#service.state;
      if (phase === 'crash-loop' || phase === 'ended')
        throw new PfError('INVALID_STATE', `cannot ${what}: ${name} is in the state "${phase}"; see ${logPath}`);
      return condition();
    };
    if (await this.#watchers.until(this.#world.clock, look, settleMs, signal)) return;
    throw new PfError('TIMEOUT', `cannot ${what} at ${name} within ${settleMs} ms; see ${logPath}`);
  }
}

/** The daemon may or may not have done it. */
function isDoubtful(error: unknown): boolean {
  return ['CONNECTION_LOST', 'TIMEOUT', 'UNAVAILABLE', 'CANCELLED'].includes(errorCodeOf(error));
}

function parseList(body: Json): Map<string, string> {
  if (!Array.isArray(body)) throw new PfError('PROTOCOL_ERROR', 'cannot read the list of attachments: it is no array');
  return new Map(
    (body as Json[]).map((entry) => {
      const { name, hash } = (entry ?? {}) as { name?: unknown; hash?: unknown };
      if (typeof name !== 'string' || typeof hash !== 'string')
        throw new PfError('PROTOCOL_ERROR', 'cannot read the list of attachments: an entry lacks its name or its hash');
      return [name, hash];
    }),
  );
}
