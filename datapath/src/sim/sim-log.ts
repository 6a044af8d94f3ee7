// What the simulated programs say: one bounded ring for the whole run, in order of time, shown when the run fails.
import type { Logger, LogLevel } from '../world/log.ts';

export class SimLog {
  readonly #lines: string[] = [];
  readonly #capacity: number;
  #written = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  append(line: string): void {
    this.#lines[this.#written % this.#capacity] = line;
    this.#written += 1;
  }

  /** The last `count` lines, oldest first. */
  tail(count: number): string {
    const kept = Math.min(count, this.#written, this.#capacity);
    const lines: string[] = [];
    for (let index = this.#written - kept; index < this.#written; index += 1) lines.push(this.#lines[index % this.#capacity]!);
    return lines.join('\n');
  }
}

export class SimLogger implements Logger {
  readonly #log: SimLog;
  readonly #prefix: string;
  readonly #now: () => number;
  readonly #fields: Readonly<Record<string, unknown>>;

  constructor(log: SimLog, prefix: string, now: () => number, fields: Readonly<Record<string, unknown>> = {}) {
    this.#log = log;
    this.#prefix = prefix;
    this.#now = now;
    this.#fields = fields;
  }

  debug(message: string, fields?: Readonly<Record<string, unknown>>): void {
    this.#write('debug', message, fields);
  }

  info(message: string, fields?: Readonly<Record<string, unknown>>): void {
    this.#write('info', message, fields);
  }

  warn(message: string, fields?: Readonly<Record<string, unknown>>): void {
    this.#write('warn', message, fields);
  }

  error(message: string, fields?: Readonly<Record<string, unknown>>): void {
    this.#write('error', message, fields);
  }

  child(fields: Readonly<Record<string, unknown>>): Logger {
    return new SimLogger(this.#log, this.#prefix, this.#now, { ...this.#fields, ...fields });
  }

  setLevel(): void {}

  #write(level: LogLevel, message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    const all = Object.entries({ ...this.#fields, ...fields }).map(([name, value]) => ` ${name}=${textOf(value)}`);
    this.#log.append(`${this.#now().toFixed(3)} ${this.#prefix} ${level}: ${message}${all.join('')}`);
  }
}

function textOf(value: unknown): string {
  if (value instanceof Error) return value.message;
  if (typeof value === 'object' && value !== null) return JSON.stringify(value);
  return String(value);
}
