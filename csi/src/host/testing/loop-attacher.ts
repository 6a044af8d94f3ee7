// pfnbd's place in tests on the real machine: a volume is a sparse file behind a loop device. Cleans up after itself, also after others
// who died: every loop device whose file lies in its folder.
import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, openSync, statSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { PfError } from '@pureflash/datapath/base';
import type { AttachedVolume, Attacher } from '../../node/attacher.ts';

const PATH = `${process.env['PATH']}:/usr/sbin:/sbin`;

export function runProgram(program: string, ...args: string[]): string {
  return execFileSync(program, args, {
    encoding: 'utf8',
    env: { ...process.env, PATH },
    stdio: ['ignore', 'pipe', 'pipe'],
  }).trim();
}

export class LoopAttacher implements Attacher {
  readonly #folder: string;
  readonly #attached = new Map<string, AttachedVolume>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  createVolume(name: string, sizeBytes: number): string {
    const path = join(this.#folder, name);
    closeSync(openSync(path, 'a'));
    truncateSync(path, sizeBytes);
    return path;
  }

  writeTo(name: string, offset: number, bytes: Uint8Array): void {
    const file = openSync(join(this.#folder, name), 'r+');
    writeSync(file, bytes, 0, bytes.length, offset);
    closeSync(file);
  }

  change(name: string, change: Partial<AttachedVolume>): void {
    this.#attached.set(name, { ...this.#attached.get(name)!, ...change });
  }

  deviceOf(name: string): string {
    return this.#attached.get(name)!.device;
  }

  async attach(request: Pick<AttachedVolume, 'volume_name' | 'attachment' | 'read_only'>): Promise<AttachedVolume> {
    const known = this.#attached.get(request.volume_name);
    if (known !== undefined) return known;
    const path = join(this.#folder, request.volume_name);
    if (!existsSync(path)) throw new PfError('NOT_FOUND', `no volume ${request.volume_name}`);
    const device = runProgram('losetup', '--find', '--show', ...(request.read_only ? ['--read-only'] : []), path);
    const attached: AttachedVolume = { ...request, device, size: statSync(path).size, state: 'SERVING' };
    this.#attached.set(request.volume_name, attached);
    return attached;
  }

  async detach(volumeName: string): Promise<void> {
    const known = this.#attached.get(volumeName);
    if (known === undefined) return;
    runProgram('losetup', '--detach', known.device);
    // A loop device that is in use is only marked; a real mapper refuses.
    if (runProgram('losetup', '--list', '--noheadings', '--output', 'NAME').split('\n').includes(known.device)) {
      throw new PfError('INVALID_STATE', `${known.device} is in use`);
    }
    this.#attached.delete(volumeName);
  }

  async resize(volumeName: string): Promise<AttachedVolume> {
    const known = this.#attached.get(volumeName);
    if (known === undefined) throw new PfError('NOT_FOUND', `${volumeName} is not attached`);
    runProgram('losetup', '--set-capacity', known.device);
    this.change(volumeName, { size: statSync(join(this.#folder, volumeName)).size });
    return this.#attached.get(volumeName)!;
  }

  /** A sparse file has blocks where something was written. */
  async isWritten(volumeName: string): Promise<boolean> {
    return statSync(join(this.#folder, volumeName)).blocks > 0;
  }

  async list(): Promise<readonly AttachedVolume[]> {
    return [...this.#attached.values()];
  }

  /** Nothing of this folder is mounted or behind a loop device any more. */
  cleanUp(): void {
    // Before the mounts go: a device that was detached while in use goes with its last mount.
    const devices = this.#loops();
    for (const path of this.#mounted().reverse()) runProgram('umount', path);
    for (const device of devices) runProgram('losetup', '--detach', device);
    this.#attached.clear();
  }

  #mounted(): string[] {
    const listed = JSON.parse(runProgram('findmnt', '--list', '--json', '--output', 'TARGET')) as {
      filesystems: { target: string }[];
    };
    return listed.filesystems.map(({ target }) => target).filter((target) => target.startsWith(`${this.#folder}/`));
  }

  #loops(): string[] {
    const text = runProgram('losetup', '--list', '--json', '--output', 'NAME,BACK-FILE');
    if (text === '') return [];
    const listed = JSON.parse(text) as { loopdevices: { name: string; 'back-file': string }[] };
    return listed.loopdevices.filter((loop) => loop['back-file'].startsWith(`${this.#folder}/`)).map(({ name }) => name);
  }
}
