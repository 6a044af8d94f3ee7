// Images are what they should be, read by tar itself: files, modes, links, long names, the libraries of a program.
// needs: tar ldd
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { nodeFiles, programFiles, writeImage } from './image.ts';
import type { ImageFile } from './image.ts';

const folder = mkdtempSync(join(tmpdir(), 'image-'));
const file = join(folder, 'image.tar');
test.after(() => rmSync(folder, { recursive: true }));

function write(files: readonly ImageFile[]): Buffer {
  const options = { file, name: 'localhost/demo:1', entrypoint: ['/bin/demo', '--x'], env: { A: 'b=c' }, user: '65532' };
  writeImage({ ...options, files });
  return readFileSync(file);
}

function tar(...words: string[]): string {
  return execFileSync('tar', words, { encoding: 'utf8', cwd: folder, env: { PATH: process.env['PATH'], TZ: 'UTC' } });
}

test('the archive names its configuration by its checksum, and the layer by its own', () => {
  write([{ path: '/etc/demo', from: { text: 'hello\n' } }]);
  tar('xf', file);
  const [manifest] = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as [{ Config: string; Layers: [string] }];
  const config = readFileSync(join(folder, manifest.Config));
  assert.is(manifest.Config, `${sha256(config)}.json`);
  const layer = sha256(readFileSync(join(folder, manifest.Layers[0])));
  const expected = {
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config: {
      Entrypoint: ['/bin/demo', '--x'],
      Env: ['PATH=/bin:/usr/bin:/sbin:/usr/sbin', 'A=b=c'],
      User: '65532',
    },
    rootfs: { type: 'layers', diff_ids: [`sha256:${layer}`] },
    history: [{ created_by: 'pureflash' }],
  };
  assert.equal(JSON.parse(config.toString()), expected);
});

test('tar lists files, folders, links and long names as they were asked for', () => {
  const source = join(folder, 'program');
  writeFileSync(source, 'x'.repeat(513), { mode: 0o755 });
  const long = `/opt/${'a'.repeat(120)}/end`;
  write([
    { path: '/bin/program', from: { source } },
    { path: '/bin/alias', from: { link: 'program' } },
    { path: long, from: { text: 'far' }, mode: 0o600 },
  ]);
  tar('xf', file);
  const rows = tar('tvf', 'layer.tar', '--numeric-owner').trimEnd().split('\n');
  const row = (mode: string, size: number, path: string): string => `${mode} 0/0 ${size} 1970-01-01 00:00 ${path}`;
  assert.equal(
    rows.map((line) => line.replace(/ +/g, ' ')),
    [
      ...['dev', 'etc', 'proc', 'sys'].map((name) => row('drwxr-xr-x', 0, `${name}/`)),
      row('drwxrwxrwt', 0, 'tmp/'),
      row('drwxr-xr-x', 0, 'var/'),
      row('drwxr-xr-x', 0, 'bin/'),
      row('-rwxr-xr-x', 513, 'bin/program'),
      row('lrwxrwxrwx', 0, 'bin/alias -> program'),
      row('drwxr-xr-x', 0, 'opt/'),
      row('drwxr-xr-x', 0, `${long.slice(1, -4)}/`),
      row('-rw-------', 3, long.slice(1)),
    ],
  );
  assert.is(tar('xOf', 'layer.tar', long.slice(1)), 'far');
});

test('the same files give the same bytes', () => {
  const files = [{ path: '/a', from: { text: '1' } }];
  assert.ok(write(files).equals(write(files)));
});

test('a program brings its libraries and its loader; this Node runs from them alone', () => {
  const paths = programFiles('/bin/ls').map(({ path }) => path);
  assert.is(paths[0], '/bin/ls');
  assert.ok(paths.some((path) => path.includes('/libc.so.')));
  assert.ok(paths.some((path) => path.includes('/ld-linux')));
  assert.is(nodeFiles()[0]!.path, '/bin/node');
});

function sha256(data: Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}

test.run();
