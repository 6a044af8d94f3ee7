// Builds the Kubernetes programs that the suites run, as ordinary Go programs from the pinned modules in binaries/: once,
// into build/kube/VERSION. Called by the test runner, by `make e2e` and by `make kube`; when nothing is to do it ends at once.
// Cold it takes about eight minutes on two cores, 2 GB of memory and 4 GB of Go's cache; with that cache, seconds.
import { findBinaries, GO_MODULES } from './binaries.ts';
import { buildGoModules, say } from './build-go-modules.ts';
import { hasGo } from './go-module.ts';

async function main(): Promise<void> {
  if (findBinaries() !== null) return;
  if (!hasGo()) {
    say('cannot build the Kubernetes programs: there is no Go 1.26 or later; install it, or name a folder in KUBEBUILDER_ASSETS');
    process.exitCode = 69;
    return;
  }
  await buildGoModules(GO_MODULES);
}

try {
  await main();
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
