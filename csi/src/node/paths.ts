// Which paths a caller may name: below a kubelet directory, written in the one normal way, with no link on the way. Everything else is
// refused before anything is touched. The directories belong to root, so nobody swaps a folder for a link between this look and the mount.
import { PfError } from '@pureflash/datapath/base';
import type { Host } from './host.ts';

/** PATH_MAX and NAME_MAX of Linux, without the closing zero. */
const PATH_BYTES_MAX = 4095;
const NAME_BYTES_MAX = 255;
const ENCODER = new TextEncoder();
const CONTROL = /[\u0000-\u001f\u007f]/;

interface Folder {
  readonly given: string;
  readonly real: string;
}

export class KubeletPaths {
  readonly #host: Host;
  readonly #folders: readonly Folder[];

  private constructor(host: Host, folders: readonly Folder[]) {
    this.#host = host;
    this.#folders = folders;
  }

  /** `folders` exist; a link in their own paths is the administrator's wish and is followed here, once. */
  static async open(host: Host, folders: readonly string[]): Promise<KubeletPaths> {
    if (folders.length === 0) throw new PfError('INVALID_ARGUMENT', 'the node service needs a kubelet directory: none is given');
    const found: Folder[] = [];
    for (const given of folders) {
      const complaint = complaintOf(given);
      const real = complaint === null ? await host.realPath(given) : null;
      if (complaint !== null || real === null || real === '/') {
        throw new PfError(
          'INVALID_ARGUMENT',
          `the kubelet directory ${show(given)} cannot be used: ${complaint ?? 'it is not there, or the root'}`,
        );
      }
      found.push({ given, real });
    }
    return new KubeletPaths(host, found);
  }

  /**
   * The path as mounts will name it. `field` is how the caller knows it. Parts that do not exist are fine.
   * Error INVALID_ARGUMENT.
   */
  async check(path: string, field: string): Promise<string> {
    const complaint = complaintOf(path);
    if (complaint !== null) throw refuse(path, field, complaint);
    const folder = this.#folders.find(({ given, real }) => path.startsWith(`${given}/`) || path.startsWith(`${real}/`));
    if (folder === undefined) {
      throw refuse(path, field, `it is not below ${this.#folders.map(({ given }) => given).join(' or ')}`);
    }
    const base = path.startsWith(`${folder.given}/`) ? folder.given : folder.real;
    const parts = path.slice(base.length + 1).split('/');
    await this.#walk(folder.real, parts, path, field);
    return `${folder.real}/${parts.join('/')}`;
  }

  isBelow(path: string): boolean {
    return this.#folders.some(({ real }) => path.startsWith(`${real}/`));
  }

  get folders(): readonly string[] {
    return this.#folders.map(({ real }) => real);
  }

  async #walk(base: string, parts: readonly string[], path: string, field: string): Promise<void> {
    let current = base;
    for (const [index, part] of parts.entries()) {
      current += `/${part}`;
      const { kind } = await this.#host.look(current);
      if (kind === 'missing') return;
      if (kind === 'link') throw refuse(path, field, `${current} is a symbolic link`);
      if (kind !== 'folder' && index < parts.length - 1) throw refuse(path, field, `${current} is no folder`);
    }
  }
}

/** Pure: what is wrong with how the path is written, or null. */
export function complaintOf(path: string): string | null {
  if (path === '') return 'it is empty';
  if (!path.startsWith('/')) return 'it is not absolute';
  if (ENCODER.encode(path).length > PATH_BYTES_MAX) return `it is longer than ${PATH_BYTES_MAX} bytes`;
  if (CONTROL.test(path)) return 'it has a control character';
  for (const part of path.slice(1).split('/')) {
    if (part === '') return 'it has an empty part';
    if (part === '.' || part === '..') return `it has the part "${part}"`;
    if (ENCODER.encode(part).length > NAME_BYTES_MAX) return `it has a part of more than ${NAME_BYTES_MAX} bytes`;
  }
  return null;
}

function refuse(path: string, field: string, complaint: string): PfError {
  return new PfError('INVALID_ARGUMENT', `${field} ${show(path)} cannot be used: ${complaint}`);
}

function show(path: string): string {
  return JSON.stringify(path.length > 200 ? `${path.slice(0, 200)}...` : path);
}
