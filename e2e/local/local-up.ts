// `pureflash up` as a child process of a test or of `make run`: the cluster of a YAML file, under its supervisor.
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { waitFor } from './wait-for.ts';

const run = promisify(execFile);
const ROOT = resolve(import.meta.dirname, '../..');
const PUREFLASH = join(ROOT, 'operator/bin/pureflash');
const PFCLI = join(ROOT, 'datapath/bin/pfcli');
const PATIENCE_MS = 60_000;

export interface InstanceSeen {
  /** "store/host-1". */
  readonly name: string;
  readonly isOnline: boolean;
  readonly pid: number | null;
  readonly restarts: number | null;
}

export interface StatusSeen {
  readonly supervisor: { readonly pid: number; readonly phase: string; readonly message: string } | null;
  readonly instances: readonly InstanceSeen[];
}

export interface ShardView {
  readonly primary_rep_index: number;
  readonly replicas: readonly { readonly index: number; readonly status: string; readonly address: string }[];
}

export class LocalUp {
  readonly folder: string;
  readonly conductorAddress: string;
  readonly logPath: string;
  readonly #file: string;
  readonly #subnet: string;
  #child: ChildProcess | null = null;
  #exited: Promise<void> = Promise.resolve();

  /** `subnet`: first three numbers of the loopback addresses of the hosts. */
  constructor(options: { readonly file: string; readonly folder: string; readonly subnet?: string }) {
    this.folder = resolve(options.folder);
    this.logPath = join(this.folder, 'up.log');
    this.#file = options.file;
    this.#subnet = options.subnet ?? '127.0.0';
    this.conductorAddress = `${this.#subnet}.1:49180`;
  }

  /** Resolves when the cluster is Ready. `served`: volumes to be exported, once they exist. */
  async start(served: readonly string[] = []): Promise<void> {
    mkdirSync(this.folder, { recursive: true });
    const log = openSync(this.logPath, 'a');
    const args = [
      'up',
      '-f',
      this.#file,
      '--data',
      this.folder,
      '--subnet',
      this.#subnet,
      ...served.flatMap((name) => ['--serve', name]),
    ];
    const child = spawn(PUREFLASH, args, { stdio: ['ignore', log, log] });
    closeSync(log);
    this.#child = child;
    this.#exited = new Promise((resolve) => child.once('exit', () => resolve()));
    await this.waitForStatus('the cluster to be Ready', ({ supervisor }) => supervisor?.phase === 'Ready');
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  async status(): Promise<StatusSeen> {
    const text = await run(PUREFLASH, ['status', '--data', this.folder, '--json']).then(
      ({ stdout }) => stdout,
      // Its exit code says that something is not online; what it says is what is wanted.
      (error: { stdout: string }) => error.stdout,
    );
    return JSON.parse(text) as StatusSeen;
  }

  async waitForStatus(what: string, isReached: (status: StatusSeen) => boolean): Promise<StatusSeen> {
    return waitFor(what, PATIENCE_MS, async () => {
      if (typeof this.#child?.exitCode === 'number')
        throw new Error(`pureflash up ended; it said:\n${readFileSync(this.logPath, 'utf8')}`);
      const status = await this.status();
      return isReached(status) ? status : null;
    });
  }

  async pfcli(...words: string[]): Promise<unknown> {
    const { stdout } = await run(PFCLI, [...words, '--json', '--conductor', this.conductorAddress]);
    return JSON.parse(stdout) as unknown;
  }

  async shards(volume: string): Promise<readonly ShardView[]> {
    return ((await this.pfcli('open_volume', '-v', volume, '--read-only')) as { shards: readonly ShardView[] }).shards;
  }

  /** "store/host-2": the primary of the volume's first shard. */
  async primaryOf(volume: string): Promise<string> {
    const shard = (await this.shards(volume))[0]!;
    const { address } = shard.replicas.find((replica) => replica.index === shard.primary_rep_index)!;
    return `store/host-${address.split(':')[0]!.split('.')[3]}`;
  }

  async waitForSync(volume: string): Promise<void> {
    await waitFor(`all replicas of volume "${volume}" to be in sync`, PATIENCE_MS, async () => {
      const shards = await this.shards(volume);
      return shards.every((shard) => shard.replicas.every((replica) => replica.status === 'IN_SYNC')) ? true : null;
    });
  }

  /** The unix socket on which a volume of `served` is exported. */
  socketOf(volume: string): string {
    return join(this.folder, `${volume}.sock`);
  }

  /** Ctrl-C: the daemons are stopped in order. */
  async stop(): Promise<void> {
    this.#child?.kill('SIGINT');
    await this.#exited;
  }
}
