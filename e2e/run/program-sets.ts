// Programs that are built, most of them with Go, before the first test file that needs them: a word of its `// needs:` line each. Called by needs.ts,
// test-plan.ts and run-tests.ts.
import { canHaveSidecars } from '../csi/sidecars.ts';
import { canHaveBinaries } from '../kube/binaries.ts';
import { canHaveSanityPrograms } from '../sanity/programs.ts';
import { canHaveUblkKernel } from '../vm/ublk-kernel.ts';

export interface ProgramSet {
  /** "WHAT could not be built". */
  readonly what: string;
  /** Builds them with its progress on the terminal; ends at once where nothing is to do. */
  readonly script: string;
  /** As a person reads the need. */
  readonly need: string;
  /** True when they are there, or can be built here. */
  canHave(): boolean;
}

export const PROGRAM_SETS: Readonly<Record<string, ProgramSet>> = {
  kube: {
    what: 'the Kubernetes programs',
    script: 'e2e/kube/build-binaries.ts',
    need: 'kube (Go 1.26 to build the Kubernetes programs, or KUBEBUILDER_ASSETS with all of them)',
    canHave: canHaveBinaries,
  },
  'csi-sanity': {
    what: 'csi-sanity',
    script: 'e2e/sanity/build-programs.ts',
    need: 'csi-sanity (Go 1.26 to build it)',
    canHave: canHaveSanityPrograms,
  },
  'csi-sidecars': {
    what: 'the CSI sidecars',
    script: 'e2e/csi/build-sidecars.ts',
    need: 'csi-sidecars (Go 1.26 to build them)',
    canHave: canHaveSidecars,
  },
  'ublk-guest': {
    what: 'the kernel with ublk',
    script: 'e2e/vm/build-ublk-kernel.ts',
    need: "ublk-guest (a C compiler, make, xz and Debian's package lists, to build a kernel)",
    canHave: canHaveUblkKernel,
  },
};
