// What `make images` asks of a container engine, with one that only writes down what it is asked; and what it says without one.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'pureflash-images-'));
test.after(() => rmSync(folder, { recursive: true, force: true }));

/** `engine`: a shell script in the place of docker. */
function makeImages(engine: string, registry: string): { status: number | null; stdout: string; stderr: string } {
  for (const name of ['docker', 'podman']) writeFileSync(join(folder, name), `#!/bin/sh\n${engine}\n`, { mode: 0o755 });
  const env = { ...process.env, PATH: `${folder}:${process.env['PATH']}`, REGISTRY: registry };
  return spawnSync(process.execPath, [join(ROOT, 'images/make-images.ts')], { encoding: 'utf8', cwd: ROOT, env });
}

test('every image is built from its bundle, under the name that chart and examples use', () => {
  const log = join(folder, 'asked');
  const { status, stdout } = makeImages(`echo "$@" >>${log}; [ "$1" != info ] || echo 28.0.0`, '');
  assert.is(status, 0);
  assert.match(stdout, 'built localhost/pureflash:0.1.0');
  assert.equal(readFileSync(log, 'utf8').trim().split('\n'), [
    'info --format {{.ServerVersion}}',
    'build --tag localhost/pureflash:0.1.0 --file images/pureflash.Dockerfile build/images/pureflash',
    'build --tag localhost/pureflash-csi:0.1.0 --file images/pureflash-csi.Dockerfile build/images/pureflash-csi',
    'build --tag localhost/pureflash-operator:0.1.0 --file images/pureflash-operator.Dockerfile build/images/pureflash-operator',
  ]);
  for (const file of ['pureflash/pfstore.mjs', 'pureflash/node', 'pureflash-operator/pureflash-operator.mjs'])
    assert.ok(existsSync(join(ROOT, 'build/images', file)), file);
});

test('an engine that does not answer is no failure: the command is said', () => {
  const { status, stdout } = makeImages('exit 1', 'registry.example/storage');
  assert.is(status, 0);
  assert.match(stdout, 'no container engine answers here');
  assert.match(
    stdout,
    'docker build --tag registry.example/storage/pureflash:0.1.0 --file images/pureflash.Dockerfile build/images/pureflash',
  );
});

test('an image that cannot be built is a failure', () => {
  const { status, stderr } = makeImages('[ "$1" != info ] || { echo 28.0.0; exit 0; }; exit 7', '');
  assert.is(status, 1);
  assert.match(stderr, 'cannot build localhost/pureflash:0.1.0: docker ended with 7');
});

test.run();
