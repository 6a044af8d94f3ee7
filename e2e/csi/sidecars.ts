// Kubernetes' own sidecars of CSI drivers, for the suite that takes claims through a whole node. They lie where Kubernetes' programs do.
// Called by that suite, by build-sidecars.ts and by the test runner.
import { join, resolve } from 'node:path';
import { BINARIES_FOLDER, hasGo, isBuilt, SLIM, STRIPPED, type GoModule } from '../kube/go-module.ts';

export const SIDECARS = ['csi-attacher', 'csi-provisioner', 'csi-resizer'] as const;
export type Sidecar = (typeof SIDECARS)[number];

export const SIDECAR_MODULE: GoModule = {
  name: 'csi-sidecars',
  folder: resolve(import.meta.dirname, '../kube/binaries/csi-sidecars'),
  target: 'tool',
  programs: SIDECARS,
  builtAs: null,
  flags: [...SLIM, '-tags', 'grpcnotrace,selinux,notest', '-ldflags', STRIPPED],
};

/** True when they are there, or can be built here. */
export function canHaveSidecars(): boolean {
  return isBuilt(SIDECAR_MODULE) || hasGo();
}

export function sidecarPath(sidecar: Sidecar): string {
  if (!isBuilt(SIDECAR_MODULE))
    throw new Error(
      `cannot use ${sidecar}: it is not built; run node_modules/.bin/node e2e/csi/build-sidecars.ts, which needs Go`,
    );
  return join(BINARIES_FOLDER, sidecar);
}
