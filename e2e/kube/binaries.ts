// Which Kubernetes programs the suites run, where they lie, and whether this machine can have them. Called by the rig, by
// build-binaries.ts, and by the test runner for files that need `kube`. A folder named by KUBEBUILDER_ASSETS serves when it
// holds every program; otherwise they lie in build/kube/VERSION, made by build-binaries.ts.
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { BINARIES_FOLDER, hasGo, isBuilt, KUBERNETES_VERSION, SLIM, STRIPPED, type GoModule } from './go-module.ts';

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

/** One folder of e2e/kube/binaries each: the three projects want different versions of what they share. */
export const GO_MODULES: readonly GoModule[] = [
  module('etcd', ['etcd'], 'server', []),
  module('kubernetes', ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubelet', 'kubectl'], null, [
    '-tags',
    'grpcnotrace,selinux,notest',
  ]),
  module('helm', ['helm'], null, []),
];

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

function module(name: string, programs: readonly Program[], builtAs: string | null, flags: readonly string[]): GoModule {
  const linkerFlags = name === 'kubernetes' ? `${STRIPPED} ${kubernetesVersionFlags()}` : STRIPPED;
  const folder = resolve(import.meta.dirname, 'binaries', name);
  return { name, folder, target: 'tool', programs, builtAs, flags: [...SLIM, ...flags, '-ldflags', linkerFlags] };
}

function kubernetesVersionFlags(): string {
  const [major, minor] = KUBERNETES_VERSION.split('.');
  const values = { gitVersion: `v${KUBERNETES_VERSION}`, gitMajor: major, gitMinor: minor, gitTreeState: 'clean' };
  return ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version']
    .flatMap((path) => Object.entries(values).map(([name, value]) => `-X ${path}.${name}=${value}`))
    .join(' ');
}
