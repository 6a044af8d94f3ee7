// The daemon's half of a mux service: many logical services in one process, known by name and by the hash of their configuration.
// Its handlers go into a ControlServer. Each step may be repeated: a manager that lost an answer sends it again.
import { PfError } from '../base/errors.ts';
import type { Json, JsonObject } from '../base/json.ts';
import type { ControlHandler } from './control-server.ts';
import { Mutex } from './mutex.ts';

export interface MuxHandler {
  attach(name: string, config: JsonObject): Promise<void>;
  /** While it serves. */
  change(name: string, config: JsonObject): Promise<void>;
  detach(name: string): Promise<void>;
}

/** The list of all of them must fit into one frame. */
const ATTACHED_MAX = 4096;

export class MuxServer {
  readonly #handler: MuxHandler;
  readonly #attached = new Map<string, string>();
  readonly #mutexes = new Map<string, Mutex>();

  constructor(handler: MuxHandler) {
    this.#handler = handler;
  }

  get handlers(): Readonly<Record<string, ControlHandler>> {
    return {
      list: () => [...this.#attached].map(([name, hash]) => ({ name, hash })),
      attach: (body) => this.#perform(body, (request) => this.#attach(request)),
      change: (body) => this.#perform(body, (request) => this.#attach(request)),
      detach: (body) => this.#perform(body, (request) => this.#detach(request)),
    };
  }

  /** Steps for one name one after the other; different names side by side. */
  async #perform(body: Json, task: (request: MuxRequest) => Promise<void>): Promise<Json> {
    const request = parseMuxRequest(body);
    const mutex = this.#mutexes.get(request.name) ?? new Mutex();
    this.#mutexes.set(request.name, mutex);
    await mutex.run(() => task(request));
    return null;
  }

  async #attach({ name, hash, config }: MuxRequest): Promise<void> {
    const present = this.#attached.get(name);
    if (present === hash) return;
    if (present === undefined && this.#attached.size >= ATTACHED_MAX)
      throw new PfError('NO_SPACE', `cannot attach "${name}": ${ATTACHED_MAX} are attached to this process already`);
    if (present === undefined) await this.#handler.attach(name, config);
    else await this.#handler.change(name, config);
    this.#attached.set(name, hash);
  }

  async #detach({ name }: MuxRequest): Promise<void> {
    if (!this.#attached.has(name)) return;
    await this.#handler.detach(name);
    this.#attached.delete(name);
    this.#mutexes.delete(name);
  }
}

interface MuxRequest {
  readonly name: string;
  readonly hash: string;
  readonly config: JsonObject;
}

function parseMuxRequest(body: Json): MuxRequest {
  const { name, hash = '', config = {} } = (body ?? {}) as Partial<MuxRequest>;
  if (typeof name !== 'string' || name.length < 1 || name.length > 128 || typeof hash !== 'string' || hash.length > 64)
    throw new PfError(
      'INVALID_ARGUMENT',
      'cannot attach or detach: a name of 1 to 128 characters and a hash of at most 64 were wanted',
    );
  if (typeof config !== 'object' || config === null || Array.isArray(config))
    throw new PfError('INVALID_ARGUMENT', `cannot attach "${name}": its configuration must be an object`);
  return { name, hash, config };
}
