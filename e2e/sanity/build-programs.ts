// Builds csi-sanity and descriptors where they are not built: a minute on two cores when Go's cache is cold. Called by the test runner.
import { buildGoModules, say } from '../kube/build-go-modules.ts';
import { hasGo } from '../kube/go-module.ts';
import { hasSanityPrograms, SANITY_MODULES } from './programs.ts';

try {
  if (!hasSanityPrograms() && !hasGo()) {
    say('cannot build csi-sanity: there is no Go 1.26 or later; install it');
    process.exitCode = 69;
  } else {
    await buildGoModules(SANITY_MODULES);
  }
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
