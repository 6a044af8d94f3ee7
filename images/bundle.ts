// Bundles the programs of the images: one folder for each image under build/images, with the programs, their shared parts, the Node that
// runs them and the addon. `make images` calls it; so does the rig that makes images without a container engine.
import { build } from 'esbuild';
import { copyFileSync, existsSync, mkdirSync, realpathSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { COMPONENTS, type Component } from './programs.ts';

const ROOT = resolve(import.meta.dirname, '..');

/** Makes the folder with the files of the image anew; answers it. */
export async function bundle(component: Component, folder = join(ROOT, 'build/images', component.name)): Promise<string> {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  await build({
    absWorkingDir: ROOT,
    entryPoints: Object.fromEntries(Object.entries(component.programs)),
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node26',
    minifySyntax: true,
    minifyWhitespace: true,
    sourcemap: false,
    legalComments: 'none',
    logLevel: 'warning',
    // Packages that are CommonJS ask for require().
    banner: {
      js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
    },
  });
  copyFileSync(realpathSync(process.execPath), join(folder, 'node'));
  for (const native of ['pureflash.node', 'pureflash-holder', 'pureflash-ublk']) {
    const built = join(ROOT, 'datapath/build', native);
    if (component.hasAddon && existsSync(built)) copyFileSync(built, join(folder, native));
  }
  return folder;
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === import.meta.filename) {
  for (const component of COMPONENTS) console.log(`bundled ${await bundle(component)}`);
}
