// Which Kubernetes programs the suites run, where they lie, and whether this machine can have them. Called by the rig, by
// build-binaries.ts, and by the test runner for files that need `kube`. A folder named by KUBEBUILDER_ASSETS serves when it
// holds every program; otherwise they lie in build/kube/VERSION, made by build-binaries.ts.
import { createHash } from 'node:crypto';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

export const KUBERNETES_VERSION = '1.36.4';
export const PROGRAMS = [
  'etcd',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'kubelet',
  'kubectl',
  'helm',
] as const;
export type Program = (typeof PROGRAMS)[number];

/** One folder of e2e/kube/binaries: a Go module of its own, since the three projects want different versions of what they share. */
export interface GoModule {
  readonly folder: 'kubernetes' | 'etcd' | 'helm';
  readonly programs: readonly Program[];
  /** What `go tool` calls the program, where that is not its name: go names a program after its module. */
  readonly builtAs: string | null;
  readonly flags: readonly string[];
}

const STRIPPED = '-s -w';
const SLIM = ['-trimpath', '-gcflags=all=-dwarf=false'];

export const GO_MODULES: readonly GoModule[] = [
  { folder: 'etcd', programs: ['etcd'], builtAs: 'server', flags: [...SLIM, '-ldflags', STRIPPED] },
  {
    folder: 'kubernetes',
    programs: ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubelet', 'kubectl'],
    builtAs: null,
    flags: [...SLIM, '-tags', 'grpcnotrace,selinux,notest', '-ldflags', `${STRIPPED} ${kubernetesVersionFlags()}`],
  },
  { folder: 'helm', programs: ['helm'], builtAs: null, flags: [...SLIM, '-ldflags', STRIPPED] },
];

export const BINARIES_FOLDER = resolve(import.meta.dirname, '../../build/kube', KUBERNETES_VERSION);
const MODULES_FOLDER = resolve(import.meta.dirname, 'binaries');
const GO_MINOR_MIN = 26;

export function moduleFolder(module: GoModule): string {
  return join(MODULES_FOLDER, module.folder);
}

export function stampFile(module: GoModule): string {
  return join(BINARIES_FOLDER, `.${module.folder}-stamp`);
}

/** What the programs of a module are made of, as a checksum: versions, checksums of the sources, flags. */
export function wantedStamp(module: GoModule): string {
  const hash = createHash('sha256').update(module.flags.join('\n'));
  for (const file of ['go.mod', 'go.sum']) hash.update(readFileSync(join(moduleFolder(module), file)));
  return hash.digest('hex');
}

export function isBuilt(module: GoModule): boolean {
  const stamp = stampFile(module);
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== wantedStamp(module)) return false;
  return module.programs.every((program) => existsSync(join(BINARIES_FOLDER, program)));
}

/** The folder that holds every program, or null. */
export function findBinaries(): string | null {
  const assets = process.env['KUBEBUILDER_ASSETS'] ?? '';
  if (assets !== '' && PROGRAMS.every((program) => existsSync(join(assets, program)))) return resolve(assets);
  return GO_MODULES.every(isBuilt) ? BINARIES_FOLDER : null;
}

export function programPath(program: Program): string {
  const folder = findBinaries();
  if (folder === null) {
    throw new Error(
      `cannot start ${program}: it is not built; run node_modules/.bin/node e2e/kube/build-binaries.ts, which needs Go`,
    );
  }
  return join(folder, program);
}

/** True when the programs are there, or can be built here. */
export function canHaveBinaries(): boolean {
  return findBinaries() !== null || hasGo();
}

export function hasGo(): boolean {
  const { status, stdout } = spawnSync('go', ['version'], { encoding: 'utf8' });
  const minor = /go1\.(\d+)/.exec(stdout ?? '')?.[1];
  return status === 0 && minor !== undefined && Number(minor) >= GO_MINOR_MIN;
}

function kubernetesVersionFlags(): string {
  const [major, minor] = KUBERNETES_VERSION.split('.');
  const values = { gitVersion: `v${KUBERNETES_VERSION}`, gitMajor: major, gitMinor: minor, gitTreeState: 'clean' };
  return ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version']
    .flatMap((path) => Object.entries(values).map(([name, value]) => `-X ${path}.${name}=${value}`))
    .join(' ');
}
