// What the operator's suites share: the image of our programs, the CRDs in a cluster, the operator as a process that can be killed, and
// a StorageCluster on files.
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { API_VERSION, KINDS } from '@pureflash/operator/api';
import type { JsonObject } from '@pureflash/datapath/base';
import { bundle } from '../../images/bundle.ts';
import { COMPONENTS, PROGRAM_FOLDER } from '../../images/programs.ts';
import { nodeFiles, writeImage, type ImageFile } from '../kube/image.ts';
import type { ControlPlane } from '../kube/control-plane.ts';
import { waitFor } from '../local/wait-for.ts';

const ROOT = resolve(import.meta.dirname, '../..');
export const IMAGE = 'localhost/pureflash:0.1.0';
export const NAMESPACE = 'storage';

/** A docker archive of a component, as the Dockerfiles make it: on the libraries of this machine, and with `tools` of it. */
export async function buildImage(
  file: string,
  name = IMAGE,
  component = 'pureflash',
  tools: readonly ImageFile[] = [],
): Promise<void> {
  const folder = await bundle(COMPONENTS.find((each) => each.name === component)!, `${file}.programs`);
  const libraries = nodeFiles().filter((each) => each.path !== '/bin/node');
  const programs = readdirSync(folder).map((each) => ({
    path: `${PROGRAM_FOLDER}/${each}`,
    from: { source: join(folder, each) },
  }));
  const isOperator = component === 'pureflash-operator';
  const entrypoint = [`${PROGRAM_FOLDER}/node`, ...(isOperator ? [`${PROGRAM_FOLDER}/pureflash-operator.mjs`] : [])];
  const user = isOperator ? { user: '65532:65532' } : {};
  writeImage({ file, name, files: [...libraries, ...tools, ...programs], entrypoint, ...user });
}

export async function installCrds(plane: ControlPlane): Promise<void> {
  const folder = join(ROOT, 'crds');
  for (const file of readdirSync(folder)) await plane.apply(readFileSync(join(folder, file), 'utf8'));
  for (const kind of KINDS)
    await plane.kubectl('wait', '--for=condition=Established', `crd/${kind.plural}.pureflash.io`, '--timeout=30s');
  await plane.kubectl('create', 'namespace', NAMESPACE);
}

/** The operator as a process that is started again whenever it ends, as kubelet would. */
export class OperatorProcess {
  readonly logPath: string;
  readonly #kubeconfig: string;
  readonly #main: string;
  #flags: readonly string[] = [];
  #child: ChildProcess | null = null;
  #exited: Promise<void> = Promise.resolve();
  #isWanted = false;

  /** `main`: its main file; the sources' unless told. */
  constructor(kubeconfig: string, folder: string, main = join(ROOT, 'operator/src/bin/operator.ts')) {
    this.#main = main;
    this.logPath = join(folder, 'operator.log');
    this.#kubeconfig = kubeconfig;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  start(flags: readonly string[] = []): void {
    this.#flags = flags;
    this.#isWanted = true;
    this.#spawn();
  }

  /** kill -9; it does not come back. */
  async kill(): Promise<void> {
    this.#isWanted = false;
    this.#child?.kill('SIGKILL');
    await this.#exited;
  }

  /** SIGTERM: it frees its Lease. */
  async stop(): Promise<void> {
    this.#isWanted = false;
    this.#child?.kill('SIGTERM');
    await this.#exited;
  }

  #spawn(): void {
    const log = openSync(this.logPath, 'a');
    const args = [this.#main, '--kubeconfig', this.#kubeconfig, '--lease-namespace', NAMESPACE, ...this.#flags];
    const child = spawn(process.execPath, args, { stdio: ['ignore', log, log] });
    closeSync(log);
    this.#child = child;
    this.#exited = new Promise((resolve) => {
      child.once('exit', () => {
        resolve();
        if (this.#isWanted) this.#spawn();
      });
    });
  }
}

export function storageCluster(name: string, spec: JsonObject): JsonObject {
  return { apiVersion: API_VERSION, kind: 'StorageCluster', metadata: { name, namespace: NAMESPACE }, spec };
}

/** The nodes of the rig have a /var/lib of their own. */
export function specOnFiles(patch: JsonObject = {}): JsonObject {
  return {
    image: IMAGE,
    imagePullPolicy: 'Never',
    stores: { devices: { files: [{ path: '/var/lib/pureflash/disk.img', size: '2Gi' }] } },
    // For suites of the store itself.
    csi: { enabled: false },
    ...patch,
  };
}

export interface ClusterSeen {
  readonly metadata: {
    readonly finalizers?: readonly string[];
    readonly generation: number;
    readonly deletionTimestamp?: string;
  };
  readonly status?: {
    readonly phase?: string;
    readonly endpoints?: readonly string[];
    readonly observedGeneration?: number;
    readonly stores?: { readonly ready: number; readonly wanted: number; readonly upgraded: number };
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason: string;
      readonly message: string;
    }[];
  };
}

/** Null when there is none. */
export async function clusterSeen(plane: ControlPlane, name: string): Promise<ClusterSeen | null> {
  const text = await plane.kubectl('get', 'pfcl', name, '-n', NAMESPACE, '-o', 'json', '--ignore-not-found');
  return text.trim() === '' ? null : (JSON.parse(text) as ClusterSeen);
}

export async function waitForCondition(
  plane: ControlPlane,
  name: string,
  type: string,
  status: string,
  patienceMs: number,
  reason?: string,
) {
  return waitFor(`condition ${type}=${status} of cluster ${name}`, patienceMs, async () => {
    const seen = await clusterSeen(plane, name);
    const condition = seen?.status?.conditions?.find((each) => each.type === type);
    const isCurrent = seen?.status?.observedGeneration === seen?.metadata.generation;
    return isCurrent && condition?.status === status && (reason === undefined || condition.reason === reason) ? condition : null;
  });
}
