// A node in memory: folders, mounts, devices with content, pfnbd and small files, behind the ports of the node service. The process that
// uses it dies before or after any step that it is told, or in the middle of a mkfs; the machine stays as it was left.
import { PfError } from '@pureflash/datapath/base';
import type { Files } from '@pureflash/datapath/world';
import type { AttachedVolume, Attacher } from '../attacher.ts';
import type { FsType, Host, Mount, MountRequest, PathLook } from '../host.ts';

export type Moment = 'before' | 'during' | 'after';

/** Where the process dies: at its `step`th call to the machine, counted from 1. */
export interface Death {
  readonly step: number;
  readonly moment: Moment;
}

export class ProcessDied extends Error {}

interface Disk {
  readonly number: string;
  sizeBytes: number;
  signature: string | null;
  head: Uint8Array;
  fsBytes: number;
  /** What a pod has written: gone when it is formatted. */
  data: string;
  /** Its stores have taken a write for it. */
  isWritten: boolean;
}

export class FakeMachine {
  readonly folders = new Set<string>(['/k', '/state']);
  readonly files = new Map<string, number>();
  readonly links = new Set<string>();
  readonly records = new Map<string, Uint8Array>();
  readonly disks = new Map<string, Disk>();
  readonly attached = new Map<string, AttachedVolume>();
  mounts: Mount[] = [];
  /** Names of the steps that the living process has taken. */
  steps: string[] = [];
  formatCount = 0;
  /** umount says success and does nothing, this often. */
  lyingUnmounts = 0;
  heldDevices = new Set<string>();
  #nextMount = 100;

  addVolume(name: string, sizeBytes: number): Disk {
    const disk: Disk = {
      number: `43:${this.disks.size}`,
      sizeBytes,
      signature: null,
      head: new Uint8Array(4096),
      fsBytes: 0,
      data: '',
      isWritten: false,
    };
    this.disks.set(name, disk);
    return disk;
  }

  disk(name: string): Disk {
    const found = this.disks.get(name);
    if (found === undefined) throw new PfError('NOT_FOUND', `volume "${name}" is unknown`);
    return found;
  }

  /** All that would be left if every process ended now. */
  snapshot(): object {
    const disks = [...this.disks].map(([name, { signature, fsBytes, data }]) => ({ name, signature, fsBytes, data }));
    return {
      folders: [...this.folders].sort(),
      files: [...this.files.keys()].sort(),
      mounts: this.mounts.map(({ path, device, root, options }) => `${path} ${device} ${root} ${options.join(',')}`).sort(),
      records: [...this.records].map(([path, bytes]) => `${path} ${new TextDecoder().decode(bytes).trim()}`).sort(),
      attached: [...this.attached.values()].map(
        ({ volume_name, attachment, device }) => `${volume_name} ${attachment} ${device}`,
      ),
      disks,
    };
  }

  /** The ports of one process, which may die. */
  startProcess(death: Death | null = null): {
    host: Host;
    attacher: Attacher;
    files: Pick<Files, 'readStart' | 'replace' | 'remove' | 'makeFolder'>;
  } {
    this.steps = [];
    const life = new Life(this, death);
    return { host: life.wrap(this.#host(life)), attacher: life.wrap(this.#attacher()), files: life.wrap(this.#files()) };
  }

  #host(life: Life): Host {
    return {
      mounts: async () => [...this.mounts],
      mount: async (request) => this.#mount(request),
      bindMount: async (source, path) => this.#bind(source, path),
      remountReadOnly: async (path) => this.#remount(path),
      unmount: async (path) => this.#unmount(path),
      look: async (path) => this.#look(path),
      realPath: async (path) => (this.#look(path).kind === 'missing' ? null : path),
      makeFolder: async (path) => void this.folders.add(path),
      makeFile: async (path) => void this.files.set(path, 0),
      removeFolder: async (path) => this.#removeFolder(path),
      removeFile: async (path) => void this.files.delete(path),
      blockDevice: async (path) => {
        const disk = this.#diskAt(path);
        return disk === null ? null : { number: disk.number, sizeBytes: this.#attachedAt(path)!.size };
      },
      readHead: async (path) => this.#diskAt(path)!.head.slice(),
      signature: async (path) => this.#diskAt(path)!.signature,
      isFree: async (path) =>
        !this.heldDevices.has(path) && !this.mounts.some(({ device }) => device === this.#diskAt(path)!.number),
      format: async (path, fsType, isOverwriting) => this.#format(life, path, fsType, isOverwriting),
      check: async () => {},
      grow: async (path) => void (this.#diskAt(path)!.fsBytes = this.#attachedAt(path)!.size),
      usage: async () => ({
        totalBytes: 3,
        availableBytes: 2,
        usedBytes: 1,
        totalInodes: 30,
        availableInodes: 20,
        usedInodes: 10,
      }),
    };
  }

  #attacher(): Attacher {
    return {
      attach: async (request) => {
        const known = this.attached.get(request.volume_name);
        if (known !== undefined && known.attachment === request.attachment) return known;
        if (known !== undefined) throw new PfError('INVALID_STATE', `volume "${request.volume_name}" has an earlier attachment`);
        const { sizeBytes } = this.disk(request.volume_name);
        const device = `/dev/nbd${[...this.disks.keys()].indexOf(request.volume_name)}`;
        const attached: AttachedVolume = { ...request, device, size: sizeBytes, state: 'SERVING' };
        this.attached.set(request.volume_name, attached);
        return attached;
      },
      detach: async (name) => {
        if (this.attached.has(name) && this.mounts.some((mount) => mount.device === this.disk(name).number)) {
          throw new PfError('INVALID_STATE', `volume "${name}" is mounted`);
        }
        this.attached.delete(name);
      },
      resize: async (name) => {
        const attached = { ...this.attached.get(name)!, size: this.disk(name).sizeBytes };
        this.attached.set(name, attached);
        return attached;
      },
      isWritten: async (name) => this.disk(name).isWritten,
      list: async () => [...this.attached.values()],
    };
  }

  #files(): Pick<Files, 'readStart' | 'replace' | 'remove' | 'makeFolder'> {
    return {
      readStart: async (path) => this.records.get(path) ?? null,
      replace: async (path, bytes) => void this.records.set(path, bytes.slice()),
      remove: async (path) => void this.records.delete(path),
      makeFolder: async (path) => void this.folders.add(path),
    };
  }

  #attachedAt(path: string): AttachedVolume | undefined {
    return [...this.attached.values()].find(({ device }) => device === path);
  }

  #diskAt(path: string): Disk | null {
    const volume = this.#attachedAt(path);
    return volume === undefined ? null : this.disk(volume.volume_name);
  }

  #mount({ device, path, fsType, options }: MountRequest): void {
    const disk = this.#diskAt(device)!;
    if (disk.signature !== fsType) throw new PfError('IO_ERROR', `mount: no ${fsType} on ${device}`);
    if (!this.folders.has(path)) throw new PfError('IO_ERROR', `mount: no folder ${path}`);
    this.#add({ device: disk.number, root: '/', path, options: [options.includes('ro') ? 'ro' : 'rw'], fsType, source: device });
  }

  #bind(source: string, path: string): void {
    const disk = this.#diskAt(source);
    if (disk === null) {
      const top = this.mounts.findLast((mount) => mount.path === source)!;
      this.#add({ ...top, path });
      return;
    }
    if (!this.files.has(path)) throw new PfError('IO_ERROR', `mount: no file ${path}`);
    this.#add({
      device: '0:6',
      root: source.slice('/dev'.length),
      path,
      options: ['rw'],
      fsType: 'devtmpfs',
      source: 'devtmpfs',
    });
  }

  #add(mount: Pick<Mount, 'device' | 'root' | 'path' | 'options' | 'fsType' | 'source'>): void {
    const fixed = { parentId: 1, isDeleted: false, propagation: ['shared:1'], superOptions: ['rw'] };
    this.mounts.push({ ...fixed, ...mount, id: this.#nextMount++ });
  }

  #remount(path: string): void {
    const index = this.mounts.findLastIndex((mount) => mount.path === path);
    this.mounts[index] = { ...this.mounts[index]!, options: ['ro'] };
  }

  #unmount(path: string): void {
    if (this.lyingUnmounts > 0) {
      this.lyingUnmounts -= 1;
      return;
    }
    const index = this.mounts.findLastIndex((mount) => mount.path === path);
    if (index >= 0) this.mounts.splice(index, 1);
  }

  #look(path: string): PathLook {
    const mount = this.mounts.findLast((candidate) => candidate.path === path);
    if (mount !== undefined && mount.root !== '/') {
      const device = this.#diskAt(`/dev${mount.root}`);
      return { kind: 'blockDevice', deviceNumber: device?.number ?? '0:0', sizeBytes: 0 };
    }
    if (this.links.has(path)) return { kind: 'link', deviceNumber: null, sizeBytes: 4 };
    if (this.folders.has(path)) return { kind: 'folder', deviceNumber: null, sizeBytes: 0 };
    const sizeBytes = this.files.get(path);
    return { kind: sizeBytes === undefined ? 'missing' : 'file', deviceNumber: null, sizeBytes: sizeBytes ?? 0 };
  }

  #removeFolder(path: string): void {
    if (this.mounts.some((mount) => mount.path === path)) throw new PfError('INVALID_STATE', `rmdir ${path}: busy`);
    this.folders.delete(path);
  }

  /** As mkfs.ext4 and mkfs.xfs do when they are killed: no superblock yet, or one that can be recognised and not mounted. */
  #format(life: Life, path: string, fsType: FsType, isOverwriting: boolean): void {
    const disk = this.#diskAt(path)!;
    if (disk.signature !== null && !isOverwriting) throw new PfError('IO_ERROR', `mkfs: ${path} holds ${disk.signature}`);
    this.formatCount += 1;
    disk.data = '';
    disk.isWritten = true;
    disk.head = new Uint8Array(4096).fill(1);
    disk.signature = fsType === 'xfs' ? 'xfs' : null;
    life.maybeDie('during');
    disk.signature = fsType;
    disk.fsBytes = this.#attachedAt(path)!.size;
  }
}

class Life {
  readonly #machine: FakeMachine;
  readonly #death: Death | null;
  #isDead = false;

  constructor(machine: FakeMachine, death: Death | null) {
    this.#machine = machine;
    this.#death = death;
  }

  maybeDie(moment: Moment): void {
    if (this.#death?.step === this.#machine.steps.length && this.#death.moment === moment) this.#isDead = true;
    if (this.#isDead) throw new ProcessDied(`died ${moment} ${this.#machine.steps.at(-1)}`);
  }

  /** The same port, each of whose calls is a step. What a dead process calls does nothing. */
  wrap<T extends object>(port: T): T {
    return new Proxy(port, {
      get: (target, name) => {
        const method = (target as Record<string | symbol, (...args: unknown[]) => Promise<unknown>>)[name]!;
        return async (...args: unknown[]) => {
          if (this.#isDead) throw new ProcessDied('dead');
          this.#machine.steps.push(String(name));
          this.maybeDie('before');
          const answer = await method(...args);
          this.maybeDie('after');
          return answer;
        };
      },
    });
  }
}
