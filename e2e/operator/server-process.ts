// A managed server of the external engine as a process of this machine: the files of its ConfigMap as the manifests' golden files have them,
// run in their order and as their user, with folders and addresses of this machine in the place of those of a pod.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { chmodSync, chownSync, closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseAllDocuments } from 'yaml';

const GOLDEN = resolve(import.meta.dirname, '../../operator/src/manifests/testdata');
const SCRIPT_MS_MAX = 60_000;

interface SeenPod {
  readonly securityContext: { readonly runAsUser: number };
  readonly containers: readonly { readonly env: readonly { readonly name: string; readonly value?: string }[] }[];
}

export interface ServerFiles {
  readonly files: Readonly<Record<string, string>>;
  readonly userId: number;
  readonly env: Readonly<Record<string, string>>;
}

/** What a golden file says of the servers of this name. */
export function serverFiles(golden: string, name: string): ServerFiles {
  const documents = parseAllDocuments(readFileSync(join(GOLDEN, `${golden}.yaml`), 'utf8')).map((each) => each.toJS() as Seen);
  const find = (kind: string): Seen => documents.find((each) => each.kind === kind && each.metadata.name === name)!;
  const pod = find('StatefulSet').spec!.template.spec;
  const env = pod.containers[0]!.env.flatMap((each) => (each.value === undefined ? [] : [[each.name, each.value] as const]));
  return { files: find('ConfigMap').data!, userId: pod.securityContext.runAsUser, env: Object.fromEntries(env) };
}

interface Seen {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: { readonly template: { readonly spec: SeenPod } };
}

export interface ServerPlace {
  /** Of this server alone; made. */
  readonly folder: string;
  /** "demo-zookeeper-1". */
  readonly podName: string;
  readonly address: string;
  /** What stands in the files, and what takes its place: long ones first. */
  readonly instead: readonly (readonly [there: string, here: string])[];
}

export class ServerProcess {
  readonly address: string;
  readonly config: string;
  readonly logPath: string;
  readonly #userId: number;
  readonly #env: NodeJS.ProcessEnv;
  readonly #place: ServerPlace;
  #child: ChildProcess | null = null;
  #exited: Promise<void> = Promise.resolve();

  constructor({ files, userId, env }: ServerFiles, place: ServerPlace) {
    this.address = place.address;
    this.#place = place;
    this.#userId = userId;
    this.config = join(place.folder, 'config');
    this.logPath = join(place.folder, 'log');
    this.#env = { PATH: process.env['PATH'], POD_NAME: place.podName, POD_IP: place.address, ...env };
    mkdirSync(place.folder, { recursive: true });
    chmodSync(place.folder, 0o755);
    mkdirSync(this.config);
    for (const folder of ['store', 'run']) {
      mkdirSync(join(place.folder, folder));
      chownSync(join(place.folder, folder), userId, userId);
    }
    for (const [name, text] of Object.entries(files)) this.write(name, text);
  }

  /** A file of its configuration, in the words of the pod. */
  write(name: string, text: string): void {
    const here = this.#place.instead.reduce((changed, [from, to]) => changed.replaceAll(from, to), text);
    writeFileSync(join(this.config, name), here);
  }

  /** Runs a script of the configuration to its end; null: it took too long. */
  run(script: string): { readonly code: number | null; readonly said: string } {
    const { status, stdout, stderr } = spawnSync('setpriv', this.#argumentsOf(script), {
      env: this.#env,
      encoding: 'utf8',
      timeout: SCRIPT_MS_MAX,
    });
    return { code: status, said: stdout + stderr };
  }

  is(state: 'ready' | 'alive'): boolean {
    return this.run(`${state}.sh`).code === 0;
  }

  start(): void {
    const log = openSync(this.logPath, 'a');
    const child = spawn('setpriv', this.#argumentsOf('start.sh'), { env: this.#env, stdio: ['ignore', log, log] });
    closeSync(log);
    this.#child = child;
    this.#exited = new Promise((resolve) => child.once('exit', () => resolve()));
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get hasEnded(): boolean {
    return this.#child === null || this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    if (!this.hasEnded) this.#child!.kill(signal);
    await this.#exited;
  }

  #argumentsOf(script: string): string[] {
    const user = [`--reuid=${this.#userId}`, `--regid=${this.#userId}`, '--clear-groups', '--no-new-privs'];
    return [...user, 'bash', join(this.config, script)];
  }
}
