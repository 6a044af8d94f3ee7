// The Go programs that know CSI from its own sources: csi-sanity, which plays the orchestrator, and descriptors, which prints the messages.
// They lie where Kubernetes' programs do. Called by the tests of this folder, by build-programs.ts and by the test runner.
import { join, resolve } from 'node:path';
import { BINARIES_FOLDER, hasGo, isBuilt, SLIM, STRIPPED, type GoModule } from '../kube/go-module.ts';

export type SanityProgram = 'csi-sanity' | 'descriptors';

export const SANITY_MODULES: readonly GoModule[] = [module('csi-sanity', 'tool'), module('descriptors', '.')];

export function hasSanityPrograms(): boolean {
  return SANITY_MODULES.every(isBuilt);
}

/** True when they are there, or can be built here. */
export function canHaveSanityPrograms(): boolean {
  return hasSanityPrograms() || hasGo();
}

export function sanityProgramPath(program: SanityProgram): string {
  if (!hasSanityPrograms()) {
    throw new Error(
      `cannot start ${program}: it is not built; run node_modules/.bin/node e2e/sanity/build-programs.ts, which needs Go`,
    );
  }
  return join(BINARIES_FOLDER, program);
}

function module(name: SanityProgram, target: GoModule['target']): GoModule {
  const folder = resolve(import.meta.dirname, name);
  return { name, folder, target, programs: [name], builtAs: null, flags: [...SLIM, '-ldflags', STRIPPED] };
}
