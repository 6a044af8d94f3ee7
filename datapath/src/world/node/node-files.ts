// Small files on node:fs, durable as world/files.ts promises. Crash windows of replace(): before the rename the old file
// stands; after it the new one does, complete, because its bytes were synced before.
import { constants } from 'node:fs';
import { chmod, mkdir, open, readdir, readFile, readlink, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { PfError } from '../../base/errors.ts';
import type { AppendFile, Files } from '../files.ts';
import { takeLock, type HeldLock, type TryFlock } from './file-lock.ts';
import { systemCodeOf, toPfError } from './system-error.ts';

export class NodeFiles implements Files {
  readonly #tryFlock: TryFlock | null;
  readonly #replacing = new Map<string, Promise<void>>();
  readonly #open = new Set<NodeAppendFile>();
  readonly #locks = new Set<HeldLock>();
  #temporaryCount = 0;

  constructor(tryFlock: TryFlock | null) {
    this.#tryFlock = tryFlock;
  }

  async read(path: string): Promise<Uint8Array | null> {
    try {
      const bytes = await readFile(path);
      return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') return null;
      throw toPfError(error, `cannot read ${path}`);
    }
  }

  async readStart(path: string, limitBytes: number): Promise<Uint8Array | null> {
    try {
      const handle = await open(path, constants.O_RDONLY);
      try {
        const bytes = new Uint8Array(limitBytes);
        let length = 0;
        while (length < limitBytes) {
          const { bytesRead } = await handle.read(bytes, length, limitBytes - length, null);
          if (bytesRead === 0) break;
          length += bytesRead;
        }
        return bytes.slice(0, length);
      } finally {
        await handle.close();
      }
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') return null;
      throw toPfError(error, `cannot read ${path}`);
    }
  }

  async readLink(path: string): Promise<string | null> {
    try {
      return await readlink(path);
    } catch (error) {
      // EINVAL: there is something, but no link.
      if (['ENOENT', 'EINVAL'].includes(systemCodeOf(error))) return null;
      throw toPfError(error, `cannot read the link ${path}`);
    }
  }

  /** Calls for one path take effect in their order. */
  replace(path: string, bytes: Uint8Array): Promise<void> {
    const before = this.#replacing.get(path) ?? Promise.resolve();
    const result = before.then(() => this.#replaceNow(path, bytes));
    const settled = result.catch(() => {});
    this.#replacing.set(path, settled);
    void settled.then(() => {
      if (this.#replacing.get(path) === settled) this.#replacing.delete(path);
    });
    return result;
  }

  async openAppend(path: string): Promise<AppendFile> {
    try {
      const handle = await open(path, constants.O_CREAT | constants.O_RDWR, 0o644);
      try {
        await syncFolder(dirname(path));
        const file = new NodeAppendFile(path, handle, (await handle.stat()).size, () => this.#open.delete(file));
        this.#open.add(file);
        return file;
      } catch (error) {
        await handle.close();
        throw error;
      }
    } catch (error) {
      throw toPfError(error, `cannot open ${path} for appending`);
    }
  }

  async remove(path: string): Promise<void> {
    try {
      await rm(path, { force: true });
      await syncFolder(dirname(path));
    } catch (error) {
      if (systemCodeOf(error) !== 'ENOENT') throw toPfError(error, `cannot remove ${path}`);
    }
  }

  async makeFolder(path: string, options: { readonly isPrivate?: boolean } = {}): Promise<void> {
    try {
      await makeFolders(path);
      if (options.isPrivate === true) await chmod(path, 0o700);
      await syncFolder(dirname(path));
    } catch (error) {
      throw toPfError(error, `cannot make folder ${path}`);
    }
  }

  async list(path: string): Promise<string[]> {
    try {
      return (await readdir(path)).sort();
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') return [];
      throw toPfError(error, `cannot list ${path}`);
    }
  }

  async lock(path: string): Promise<{ release(): Promise<void> }> {
    const held = await takeLock(path, `${path}.owner`, this.#tryFlock);
    this.#locks.add(held);
    return {
      release: async () => {
        this.#locks.delete(held);
        await held.release();
      },
    };
  }

  async close(): Promise<void> {
    await Promise.all([...this.#replacing.values()]);
    for (const file of this.#open) await file.close();
    for (const lock of this.#locks) await lock.release();
    this.#locks.clear();
  }

  async #replaceNow(path: string, bytes: Uint8Array): Promise<void> {
    const temporary = `${path}.tmp-${process.pid}-${++this.#temporaryCount}`;
    try {
      const handle = await open(temporary, 'w', 0o644);
      try {
        await handle.writeFile(bytes);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(temporary, path);
      await syncFolder(dirname(path));
    } catch (error) {
      await rm(temporary, { force: true });
      throw toPfError(error, `cannot replace ${path}`);
    }
  }
}

interface PendingAppend {
  readonly bytes: Uint8Array;
  resolve(): void;
  reject(error: unknown): void;
}

/** Appends that arrive while one is being synced are written and synced together. */
class NodeAppendFile implements AppendFile {
  readonly #path: string;
  readonly #handle: FileHandle;
  readonly #onClose: () => void;
  #pending: PendingAppend[] = [];
  #work: Promise<void> = Promise.resolve();
  #isWriting = false;
  #failure: PfError | null = null;
  #closing: Promise<void> | null = null;
  #sizeBytes: number;

  constructor(path: string, handle: FileHandle, sizeBytes: number, onClose: () => void) {
    this.#path = path;
    this.#handle = handle;
    this.#sizeBytes = sizeBytes;
    this.#onClose = onClose;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  append(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#closing !== null) {
        reject(new PfError('INVALID_STATE', `cannot append to ${this.#path}: it is closed`));
        return;
      }
      this.#pending.push({ bytes, resolve, reject });
      if (this.#isWriting) return;
      this.#isWriting = true;
      this.#work = this.#work.then(() => this.#writePending());
    });
  }

  truncate(sizeBytes: number): Promise<void> {
    const result = this.#work.then(async () => {
      this.#throwIfFailed();
      try {
        await this.#handle.truncate(sizeBytes);
        await this.#handle.sync();
        this.#sizeBytes = sizeBytes;
      } catch (error) {
        throw toPfError(error, `cannot cut ${this.#path} to ${sizeBytes} bytes`);
      }
    });
    this.#work = result.catch(() => {});
    return result;
  }

  close(): Promise<void> {
    this.#closing ??= this.#work.then(async () => {
      this.#onClose();
      await this.#handle.close();
    });
    return this.#closing;
  }

  async #writePending(): Promise<void> {
    while (this.#pending.length > 0) {
      const batch = this.#pending;
      this.#pending = [];
      try {
        this.#throwIfFailed();
        let position = this.#sizeBytes;
        for (const each of batch) position += await this.#writeAll(each.bytes, position);
        await this.#handle.datasync();
        this.#sizeBytes = position;
        for (const each of batch) each.resolve();
      } catch (error) {
        // After a failed sync nobody knows what the file holds: no further append may pretend to.
        this.#failure = toPfError(error, `cannot append to ${this.#path}`);
        for (const each of batch) each.reject(this.#failure);
      }
    }
    this.#isWriting = false;
  }

  async #writeAll(bytes: Uint8Array, position: number): Promise<number> {
    let written = 0;
    while (written < bytes.length) {
      written += (await this.#handle.write(bytes, written, bytes.length - written, position + written)).bytesWritten;
    }
    return written;
  }

  #throwIfFailed(): void {
    if (this.#failure !== null) throw this.#failure;
  }
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** As mkdir -p. Node's own recursive mkdir never ends where a folder refuses children with ENOENT, as /proc does. */
async function makeFolders(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' && (await stat(path)).isDirectory()) return;
    const parent = dirname(path);
    if (code !== 'ENOENT' || parent === path || (await isFolder(parent))) throw error;
    await makeFolders(parent);
    await mkdir(path);
  }
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
