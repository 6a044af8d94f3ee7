// Builds the sidecars where they are not built: a few minutes on two cores when Go's cache is cold. Called by the test runner.
import { buildGoModules, say } from '../kube/build-go-modules.ts';
import { hasGo, isBuilt } from '../kube/go-module.ts';
import { SIDECAR_MODULE } from './sidecars.ts';

try {
  if (!isBuilt(SIDECAR_MODULE) && !hasGo()) {
    say('cannot build the CSI sidecars: there is no Go 1.26 or later; install it');
    process.exitCode = 69;
  } else {
    await buildGoModules([SIDECAR_MODULE]);
  }
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
