// What the mappers' contract needs of the machine: a folder, programs that use the device independently of us, a process that serves
// and may be killed, and the certainty that nothing is left, whatever happened.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { silentLogger } from '../../world/log.ts';
import { openNodeWorld } from '../../world/node/node-world.ts';
import type { World } from '../../world/world.ts';
import type { Mapper } from '../mapper.ts';
import { openMapper, type MapperKind } from './open-mapper.ts';

const PATH = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;
const SERVE = fileURLToPath(new URL('./serve-mapping.ts', import.meta.url));
const FOLDER = 'mappings';
const DEADLINE_MS = 60_000;
const LOOK_EVERY_MS = 20;

export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface FioResult {
  readonly errors: number;
  readonly requests: number;
  /** The longest that a request has waited. */
  readonly longestMs: number;
}

/** The process that serves, as seen from the test. */
export interface Server {
  readonly process: ChildProcess;
  /** "mapped" or "adopted". */
  readonly how: string;
  readonly devicePath: string;
  tell(command: 'handover' | 'unmap'): Promise<void>;
  kill(): Promise<void>;
}

export class MapperRig {
  readonly world: World;
  readonly mapper: Mapper;
  readonly prefix: string;
  readonly folder: string;
  readonly mountPoint: string;
  readonly #kind: MapperKind;
  readonly #root: string;
  readonly #children = new Set<ChildProcess>();
  readonly #sizes = new Map<string, number>();

  static async open(kind: MapperKind): Promise<MapperRig> {
    const root = mkdtempSync(join(tmpdir(), 'pf-map-'));
    const world = await openNodeWorld({ log: silentLogger, memoryBytes: 96 * 1024 * 1024 });
    return new MapperRig(kind, root, world, await openMapper(kind, world, join(root, FOLDER)));
  }

  private constructor(kind: MapperKind, root: string, world: World, mapper: Mapper) {
    this.#kind = kind;
    this.#root = root;
    this.world = world;
    this.mapper = mapper;
    this.prefix = `pf-map-${process.pid}-`;
    this.folder = join(root, FOLDER);
    this.mountPoint = join(root, 'mnt');
    mkdirSync(this.mountPoint);
  }

  path(name: string): string {
    return join(this.#root, name);
  }

  /** Never waits on this thread: it may be the one that serves. */
  async run(program: string, ...rest: readonly string[]): Promise<Outcome> {
    const child = spawn(program, rest, { env: { ...process.env, PATH }, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#children.add(child);
    const texts = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => (texts[0] += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (texts[1] += text));
    const [status] = (await once(child, 'close')) as [number | null];
    this.#children.delete(child);
    return { status, stdout: texts[0]!, stderr: texts[1]! };
  }

  /** run(), and an error when it fails. */
  async succeed(program: string, ...rest: readonly string[]): Promise<string> {
    const { status, stdout, stderr } = await this.run(program, ...rest);
    if (status === 0) return stdout.trim();
    throw new Error(`${program} ${rest.join(' ')} ended with ${status}: ${stderr}${stdout}`);
  }

  async fio(devicePath: string, ...options: readonly string[]): Promise<FioResult> {
    const shared = ['--name=verify', `--filename=${devicePath}`, '--direct=1', '--ioengine=libaio', '--output-format=json'];
    const { status, stdout, stderr } = await this.run('fio', ...shared, ...options);
    const start = stdout.indexOf('{');
    if (start < 0) throw new Error(`fio ended with ${status}: ${stderr}${stdout}`);
    const job = (JSON.parse(stdout.slice(start)) as FioReport).jobs[0]!;
    const longestNs = Math.max(job.read.clat_ns.max, job.write.clat_ns.max);
    const errors = status === 0 && stderr === '' ? job.error : Math.max(1, job.error);
    return { errors, requests: job.read.total_ios + job.write.total_ios, longestMs: longestNs / 1e6 };
  }

  /** Starts a process that adopts or maps `name` over a file of that name, and waits until it serves. */
  async serve(name: string, sizeBytes: number): Promise<Server> {
    this.#sizes.set(name, sizeBytes);
    const args = [SERVE, this.#kind, this.folder, name, this.path(`${name}.image`), String(sizeBytes)];
    const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#children.add(child);
    const exited = once(child, 'exit').then(() => this.#children.delete(child));
    const lines = createInterface({ input: child.stdout! });
    const [how, devicePath] = (await nextLine(lines, exited)).split(' ') as [string, string];
    return {
      process: child,
      how,
      devicePath,
      tell: async (command) => {
        const done = nextLine(lines, exited);
        child.stdin!.end(`${command}\n`);
        await done;
        await exited;
      },
      kill: async () => {
        child.kill('SIGKILL');
        await exited;
      },
    };
  }

  /** Waits until the device has answered so many requests more. */
  async untilAnswered(devicePath: string, requests: number): Promise<void> {
    const wanted = answeredRequests(devicePath) + requests;
    const deadline = Date.now() + DEADLINE_MS;
    while (answeredRequests(devicePath) < wanted) {
      if (Date.now() > deadline) throw new Error(`${devicePath} answers no requests any more`);
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
  }

  /** What of this rig the kernel and the process table still know. */
  leftovers(): readonly string[] {
    return ['/proc/self/mountinfo', '/proc/partitions'].flatMap((file) =>
      readFileSync(file, 'utf8')
        .split('\n')
        .filter((line) => line.includes(this.#root) || line.includes(this.prefix)),
    );
  }

  async close(): Promise<void> {
    for (const child of this.#children) child.kill('SIGKILL');
    // What a failed test has left may be mounted, and nobody can unmount it before its requests are answered.
    const names = [...this.#sizes.keys()].filter((name) => existsSync(this.folder) && readdirSync(this.folder).includes(name));
    const servers = await Promise.all(names.map((name) => this.serve(name, this.#sizes.get(name)!)));
    await this.run('umount', this.mountPoint);
    for (const server of servers) await server.tell('unmap').catch(() => {});
    await this.mapper.reap(this.prefix, new Set());
    await this.mapper.close();
    await this.world.close();
    if (this.leftovers().length === 0) rmSync(this.#root, { recursive: true, force: true });
  }
}

interface FioReport {
  readonly jobs: readonly {
    readonly error: number;
    readonly read: FioSide;
    readonly write: FioSide;
  }[];
}

interface FioSide {
  readonly total_ios: number;
  readonly clat_ns: { readonly max: number };
}

/** Fields 1 and 5 of the kernel's statistics: reads and writes. */
function answeredRequests(devicePath: string): number {
  const fields = readFileSync(`/sys/block/${basename(devicePath)}/stat`, 'utf8')
    .trim()
    .split(/ +/);
  return Number(fields[0]) + Number(fields[4]);
}

async function nextLine(lines: Interface, exited: Promise<unknown>): Promise<string> {
  const timer = Promise.withResolvers<never>();
  const deadline = setTimeout(
    () => timer.reject(new Error(`the serving process said nothing in ${DEADLINE_MS} ms`)),
    DEADLINE_MS,
  );
  const line = once(lines, 'line').then(([text]) => text as string);
  const ended = exited.then(() => new Promise((resolve) => setImmediate(resolve))).then(() => null);
  try {
    const answer = await Promise.race([line, ended, timer.promise]);
    if (answer === null) throw new Error('the serving process has ended');
    return answer;
  } finally {
    clearTimeout(deadline);
  }
}
