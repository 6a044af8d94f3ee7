// `make images`: bundles the programs and, where a container engine answers, builds the images. Without one it says what is left to do.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { bundle } from './bundle.ts';
import { COMPONENTS } from './programs.ts';

const ROOT = resolve(import.meta.dirname, '..');
const ENGINES = ['docker', 'podman'];
const PATIENCE_MS = 20_000;

const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
/** The name that the chart's values and e2e/examples use, too. */
const registry = (process.env['REGISTRY'] ?? '') === '' ? 'localhost' : process.env['REGISTRY']!;
// `docker info` ends well without a daemon in some versions; asked for the server's version it does not.
const engine = ENGINES.find((each) => answers(each)) ?? null;

for (const component of COMPONENTS) {
  const folder = await bundle(component);
  console.log(`bundled ${relative(ROOT, folder)}`);
  const name = `${registry}/${component.name}:${version}`;
  const words = ['build', '--tag', name, '--file', `images/${component.name}.Dockerfile`, relative(ROOT, folder)];
  if (engine === null) {
    console.log(`no container engine answers here (${ENGINES.join(', ')}); where one does: docker ${words.join(' ')}`);
    continue;
  }
  const { status } = spawnSync(engine, words, { cwd: ROOT, stdio: 'inherit' });
  if (status !== 0) {
    console.error(`cannot build ${name}: ${engine} ended with ${status}`);
    process.exitCode = 1;
    break;
  }
  console.log(`built ${name}`);
}

function answers(name: string): boolean {
  const format = name === 'docker' ? '{{.ServerVersion}}' : '{{.Version.Version}}';
  const { status, stdout } = spawnSync(name, ['info', '--format', format], { encoding: 'utf8', timeout: PATIENCE_MS });
  return status === 0 && stdout.trim() !== '';
}
