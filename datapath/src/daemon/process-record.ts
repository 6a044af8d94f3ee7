// What is kept on disk about the process of a service, so that a manager that starts again finds it: one JSON file a service.
// Called by process.ts and service-set.ts. A record that cannot be read, or that speaks of another service, is set aside under
// another name and never trusted. Version 1.
import { PfError } from '../base/errors.ts';
import { isProcessIdentity, type ProcessIdentity } from '../world/processes.ts';
import type { World } from '../world/world.ts';
import type { ConfigHashes } from './config-change.ts';

export const RECORD_VERSION = 1;
const RECORD_SUFFIX = '.process.json';
const HOLD_SUFFIX = '.held';
const NAME = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/;

export interface ProcessRecord {
  readonly version: typeof RECORD_VERSION;
  readonly name: string;
  /** Null between the intent to start and the start: then its control socket says whether it lives. */
  readonly identity: ProcessIdentity | null;
  readonly command: readonly string[];
  /** What the process runs with now. */
  readonly config: ConfigHashes;
  readonly socketPath: string;
}

export class RecordFolder {
  readonly #world: World;
  readonly #folder: string;

  constructor(world: World, folder: string) {
    this.#world = world;
    this.#folder = folder;
  }

  /** Null when there is none that can be trusted. */
  async read(name: string): Promise<ProcessRecord | null> {
    const path = this.#path(name, RECORD_SUFFIX);
    const bytes = await this.#world.files.read(path);
    if (bytes === null) return null;
    const record = parseRecord(bytes);
    if (record !== null && record.name === name) return record;
    await this.#setAside(path, bytes);
    return null;
  }

  /** Durable when it resolves. */
  async write(record: ProcessRecord): Promise<void> {
    await this.#world.files.replace(
      this.#path(record.name, RECORD_SUFFIX),
      new TextEncoder().encode(`${JSON.stringify(record, null, 2)}\n`),
    );
  }

  async remove(name: string): Promise<void> {
    await this.#world.files.remove(this.#path(name, RECORD_SUFFIX));
  }

  /** Every service that has a record, trusted or not. */
  async names(): Promise<string[]> {
    const files = await this.#world.files.list(this.#folder);
    const names = files
      .filter((file) => file.endsWith(RECORD_SUFFIX))
      .map((file) => nameOf(file.slice(0, -RECORD_SUFFIX.length)));
    return names.filter((name) => NAME.test(name));
  }

  /** Remembers that somebody has stopped the service, until release(). */
  async hold(name: string): Promise<void> {
    await this.#world.files.replace(this.#path(name, HOLD_SUFFIX), new TextEncoder().encode('stopped by hand\n'));
  }

  async release(name: string): Promise<void> {
    await this.#world.files.remove(this.#path(name, HOLD_SUFFIX));
  }

  async isHeld(name: string): Promise<boolean> {
    return (await this.#world.files.read(this.#path(name, HOLD_SUFFIX))) !== null;
  }

  async #setAside(path: string, bytes: Uint8Array): Promise<void> {
    await this.#world.files.replace(`${path}.set-aside`, bytes);
    await this.#world.files.remove(path);
    this.#world.log.warn(`the process record ${path} is damaged or of another service: it is kept as ${path}.set-aside`);
  }

  #path(name: string, suffix: string): string {
    return `${this.#folder}/${fileStem(name)}${suffix}`;
  }
}

/** The name of a service as part of a file's name. Errors: INVALID_ARGUMENT. */
export function fileStem(name: string): string {
  if (!NAME.test(name))
    throw new PfError(
      'INVALID_ARGUMENT',
      `cannot use "${name}" as the name of a service: 1 to 128 letters, digits and any of "._/-" are possible, a letter or digit first`,
    );
  return name.replaceAll('/', '+');
}

function nameOf(stem: string): string {
  return stem.replaceAll('+', '/');
}

export function parseRecord(bytes: Uint8Array): ProcessRecord | null {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return null;
  }
  return isRecord(value) ? value : null;
}

function isRecord(value: unknown): value is ProcessRecord {
  if (!isObject(value)) return false;
  const { version, name, identity, command, config, socketPath } = value;
  if (version !== RECORD_VERSION || typeof name !== 'string' || typeof socketPath !== 'string') return false;
  if (!Array.isArray(command) || !command.every((part) => typeof part === 'string')) return false;
  if (!isObject(config) || typeof config['whole'] !== 'string' || typeof config['restartPart'] !== 'string') return false;
  // Process 1 is nobody's daemon, and must never get a signal from here.
  return identity === null || (isProcessIdentity(identity) && identity.pid > 1);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
