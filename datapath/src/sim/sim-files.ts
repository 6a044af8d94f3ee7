// Small files of a simulated machine. A call takes effect when it resolves; until then a crash leaves the old state, the new
// one, or (for an append) any prefix of the new bytes. Whatever has resolved survives every crash.
import { PfError } from '../base/errors.ts';
import type { ErrorCode } from '../base/errors.ts';
import type { AppendFile, Files } from '../world/files.ts';
import type { SimHost } from './sim-host.ts';
import type { CrashOptions, ProcessResource, SimProcess } from './sim-process.ts';

export type FileOperation = 'read' | 'replace' | 'append' | 'truncate' | 'remove' | 'list' | 'lock';

/** A change that has been asked for and has not happened yet. */
interface PendingChange {
  readonly process: SimProcess;
  /** What a crash may leave of it: `fraction` of the change, 0 to 1. */
  leave(fraction: number): void;
}

/** The bytes of one file; appending costs what is appended. An open file keeps its bytes when the name is removed or replaced. */
export class FileBytes {
  #bytes: Uint8Array;
  #sizeBytes: number;

  constructor(bytes: Uint8Array = new Uint8Array(0)) {
    this.#bytes = bytes;
    this.#sizeBytes = bytes.length;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  copy(): Uint8Array {
    return this.#bytes.slice(0, this.#sizeBytes);
  }

  append(more: Uint8Array): void {
    if (this.#sizeBytes + more.length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(256, (this.#sizeBytes + more.length) * 2));
      grown.set(this.#bytes.subarray(0, this.#sizeBytes));
      this.#bytes = grown;
    }
    this.#bytes.set(more, this.#sizeBytes);
    this.#sizeBytes += more.length;
  }

  truncate(sizeBytes: number): void {
    this.#sizeBytes = Math.min(this.#sizeBytes, sizeBytes);
  }
}

export class SimFileSystem {
  readonly host: SimHost;
  readonly content = new Map<string, FileBytes>();
  readonly folders = new Set<string>();
  /** Symbolic links that a test has put here; they are only read, never followed. */
  readonly links = new Map<string, string>();
  readonly locks = new Map<string, ProcessResource>();
  readonly pending = new Set<PendingChange>();
  /** Lets a test fail an operation: the code to fail with, or null. A failed append leaves nothing. */
  fault: (operation: FileOperation, path: string) => ErrorCode | null = () => null;

  constructor(host: SimHost) {
    this.host = host;
  }

  processDied(process: SimProcess, _options: CrashOptions): void {
    for (const change of [...this.pending]) {
      if (change.process !== process) continue;
      this.pending.delete(change);
      change.leave(this.host.random.chance(0.3) ? 0 : this.host.random.chance(0.3) ? 1 : this.host.random.float());
    }
  }

  names(folder: string): string[] {
    const prefix = folder.endsWith('/') ? folder : `${folder}/`;
    const names = new Set<string>();
    for (const path of [...this.content.keys(), ...this.folders, ...this.links.keys()]) {
      if (path.startsWith(prefix) && path.length > prefix.length) names.add(path.slice(prefix.length).split('/')[0]!);
    }
    return [...names].sort();
  }
}

export class SimFiles implements Files {
  readonly #process: SimProcess;
  /** The tail of each file's chain of changes: they happen one after the other. */
  readonly #lastChange = new Map<string, Promise<void>>();

  constructor(process: SimProcess) {
    this.#process = process;
  }

  read(path: string): Promise<Uint8Array | null> {
    return this.#later(0.05, 'read', path, () => this.#system.content.get(path)?.copy() ?? null);
  }

  readStart(path: string, limitBytes: number): Promise<Uint8Array | null> {
    return this.#later(0.05, 'read', path, () => this.#system.content.get(path)?.copy().slice(0, limitBytes) ?? null);
  }

  readLink(path: string): Promise<string | null> {
    return this.#later(0.05, 'read', path, () => this.#system.links.get(path) ?? null);
  }

  replace(path: string, bytes: Uint8Array): Promise<void> {
    const copy = bytes.slice();
    return this.change('replace', path, 1, (fraction) => {
      if (fraction >= 0.5) this.#system.content.set(path, new FileBytes(copy));
    });
  }

  async openAppend(path: string): Promise<AppendFile> {
    return this.#later(0.1, 'append', path, () => {
      this.#process.checkOpen(`open ${path}`);
      const content = this.#system.content.get(path) ?? new FileBytes();
      this.#system.content.set(path, content);
      return new SimAppendFile(this, this.#process, path, content);
    });
  }

  remove(path: string): Promise<void> {
    return this.change('remove', path, 0.3, (fraction) => {
      if (fraction >= 0.5) this.#system.content.delete(path);
    });
  }

  makeFolder(path: string): Promise<void> {
    return this.#later(0.1, 'replace', path, () => void this.#system.folders.add(path));
  }

  list(path: string): Promise<string[]> {
    return this.#later(0.05, 'list', path, () => this.#system.names(path));
  }

  lock(path: string): Promise<{ release(): Promise<void> }> {
    return this.#later(0.05, 'lock', path, () => {
      if (this.#system.locks.has(path)) {
        throw new PfError(
          'INVALID_STATE',
          `cannot lock "${path}" on ${this.#system.host.name}: another process holds it; stop that process first`,
        );
      }
      const held = new SimFileLock(this.#process, path);
      this.#system.locks.set(path, held);
      return held;
    });
  }

  /** Performs a change after its delay, and after earlier changes of the same file; a crash before that leaves a part of it. */
  change(operation: FileOperation, path: string, meanMs: number, apply: (fraction: number) => void): Promise<void> {
    const start = (): Promise<void> => {
      const change: PendingChange = { process: this.#process, leave: apply };
      if (this.#process.isAlive) this.#system.pending.add(change);
      return this.#later(
        meanMs,
        operation,
        path,
        () => apply(1),
        () => void this.#system.pending.delete(change),
      );
    };
    const last = this.#lastChange.get(path);
    const result = last === undefined ? start() : last.then(start, start);
    this.#lastChange.set(path, result);
    const forget = (): void => {
      if (this.#lastChange.get(path) === result) this.#lastChange.delete(path);
    };
    result.then(forget, forget);
    return result;
  }

  get #system(): SimFileSystem {
    return this.#process.host.files;
  }

  #later<T>(
    meanMs: number,
    operation: FileOperation,
    path: string,
    run: () => T,
    first: () => void = () => undefined,
  ): Promise<T> {
    const delayMs = meanMs * 0.5 + this.#process.random.exponential(meanMs * 0.5);
    return this.#process.later(delayMs, `file-${operation}`, () => {
      first();
      const code = this.#system.fault(operation, path);
      if (code !== null)
        throw new PfError(code, `cannot ${operation} "${path}" on ${this.#system.host.name}: the file system failed`);
      return run();
    });
  }
}

class SimFileLock implements ProcessResource {
  readonly #process: SimProcess;
  readonly #path: string;

  constructor(process: SimProcess, path: string) {
    this.#process = process;
    this.#path = path;
    process.resources.add(this);
  }

  async release(): Promise<void> {
    this.processDied();
  }

  describe(): string {
    return `lock on ${this.#path}`;
  }

  closeResource(): void {
    this.processDied();
  }

  processDied(): void {
    const { locks } = this.#process.host.files;
    if (locks.get(this.#path) === this) locks.delete(this.#path);
    this.#process.resources.delete(this);
  }
}

class SimAppendFile implements AppendFile, ProcessResource {
  readonly #files: SimFiles;
  readonly #process: SimProcess;
  readonly #path: string;
  readonly #content: FileBytes;
  #last: Promise<unknown> = Promise.resolve();
  #isOpen = true;

  constructor(files: SimFiles, process: SimProcess, path: string, content: FileBytes) {
    this.#files = files;
    this.#content = content;
    this.#process = process;
    this.#path = path;
    process.resources.add(this);
  }

  get sizeBytes(): number {
    return this.#content.sizeBytes;
  }

  append(bytes: Uint8Array): Promise<void> {
    const copy = bytes.slice();
    return this.#chain('append', 0.3, (fraction) => {
      this.#content.append(fraction >= 1 ? copy : copy.subarray(0, Math.floor(copy.length * fraction)));
    });
  }

  truncate(sizeBytes: number): Promise<void> {
    return this.#chain('truncate', 0.3, (fraction) => {
      if (fraction >= 0.5) this.#content.truncate(sizeBytes);
    });
  }

  async close(): Promise<void> {
    this.#isOpen = false;
    await this.#last.catch(() => undefined); // whoever asked for the change got its error
    this.#process.resources.delete(this);
  }

  describe(): string {
    return `append file ${this.#path}`;
  }

  closeResource(): Promise<void> {
    return this.close();
  }

  #chain(operation: FileOperation, meanMs: number, apply: (fraction: number) => void): Promise<void> {
    if (!this.#isOpen)
      return Promise.reject(new PfError('INVALID_STATE', `cannot ${operation} to "${this.#path}": it is closed`));
    const result = this.#files.change(operation, this.#path, meanMs, apply);
    this.#last = result;
    return result;
  }
}
