// nbd-serve under the tools of libnbd and qemu: what they say about the export, and data both ways.
// needs: nbdinfo nbdcopy qemu-img qemu-io
// ports: both
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, truncateSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { NbdServeProcess } from './nbd-serve-process.ts';
import { outputOf, runTool } from './tool.ts';

const MiB = 1024 * 1024;
const folder = mkdtempSync(join(tmpdir(), 'nbd-tools-'));
test.after(() => rmSync(folder, { recursive: true }));

async function withServer(source: string, flags: string[], body: (server: NbdServeProcess) => Promise<void>): Promise<void> {
  const server = await NbdServeProcess.start(source, { flags, exportName: 'disk' });
  try {
    await body(server);
  } finally {
    assert.is(await server.stop(), 'exit 0');
  }
}

/** A sparse file: data at the start, in the middle and at the very end. */
function sparseFile(name: string, sizeBytes: number): string {
  const path = join(folder, name);
  const file = openSync(path, 'w');
  const data = Buffer.alloc(3 * MiB + 123);
  for (let at = 0; at < data.length; at++) data[at] = (at * 31 + (at >> 9)) & 0xff;
  writeSync(file, data, 0, data.length, 0);
  writeSync(file, data, 0, MiB, 20 * MiB + 7);
  writeSync(file, data, 0, 5000, sizeBytes - 5000);
  closeSync(file);
  return path;
}

test('nbdinfo sees the export, its flags, its block sizes and its context', () =>
  withServer('memory:64M', [], async ({ uri, readyLine, socketPath }) => {
    assert.is(readyLine, `nbd-serve: serving memory:64M (64 MiB) on unix:${socketPath}`);
    const { exports } = JSON.parse(await outputOf('nbdinfo', '--list', '--json', uri)) as { exports: [Record<string, unknown>] };
    assert.is(exports.length, 1);
    const info = exports[0];
    const expected = {
      'export-name': 'disk',
      'export-size': 64 * MiB,
      is_read_only: false,
      can_flush: true,
      can_fua: true,
      can_trim: true,
      can_zero: true,
      can_fast_zero: true,
      can_df: true,
      can_cache: false,
      can_multi_conn: true,
      is_rotational: false,
      block_size_minimum: 1,
      block_size_preferred: 4096,
      block_size_maximum: 32 * MiB,
      contexts: ['base:allocation'],
    };
    for (const [key, value] of Object.entries(expected)) assert.equal(info[key], value, key);
    assert.is((await runTool('nbdinfo', ['--can', 'connect', `${uri}x`])).exitCode !== 0, true, 'an unknown export');
  }));

test('nbdinfo sees a read-only export, and qemu-io cannot write to it', () =>
  withServer('memory:1M', ['--read-only'], async ({ uri }) => {
    for (const question of ['write', 'trim', 'zero']) {
      assert.is((await runTool('nbdinfo', ['--can', question, uri])).exitCode, 2, question);
    }
    assert.is((await runTool('nbdinfo', ['--is', 'read-only', uri])).exitCode, 0);
    assert.is((await runTool('qemu-io', ['-f', 'raw', uri, '-c', 'write 0 512'])).exitCode !== 0, true);
  }));

for (const kind of ['memory', 'file']) {
  test(`nbdcopy and qemu-img carry a sparse file both ways and find it equal (${kind})`, () => {
    const source = kind === 'memory' ? 'memory:48M' : `file:${join(folder, 'served.img')}`;
    if (kind === 'file') {
      closeSync(openSync(join(folder, 'served.img'), 'w'));
      truncateSync(join(folder, 'served.img'), 48 * MiB);
    }
    return withServer(source, [], async ({ uri }) => {
      const original = sparseFile('original.img', 48 * MiB);
      const back = join(folder, 'back.img');
      await outputOf('nbdcopy', '--flush', original, uri);
      await outputOf('nbdcopy', uri, back);
      assert.is(Buffer.compare(readFileSync(back), readFileSync(original)), 0);
      assert.match(await outputOf('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', original, uri), 'Images are identical');
      await outputOf('nbdcopy', '--synchronous', '--request-size=65536', uri, back);
      assert.is(Buffer.compare(readFileSync(back), readFileSync(original)), 0);
      await outputOf('qemu-io', '-f', 'raw', uri, '-c', 'write -z -u 0 48M');
      await outputOf('qemu-img', 'convert', '-n', '-f', 'raw', '-O', 'raw', original, uri);
      await outputOf('qemu-img', 'convert', '-f', 'raw', '-O', 'raw', uri, back);
      assert.is(Buffer.compare(readFileSync(back), readFileSync(original)), 0);
    });
  });
}

test('the map of nbdinfo and of qemu-img shows data and holes', () =>
  withServer('memory:8M', [], async ({ uri }) => {
    await outputOf('qemu-io', '-f', 'raw', uri, '-c', 'write -P 1 1M 1M');
    const map = JSON.parse(await outputOf('nbdinfo', '--map', '--json', uri)) as {
      offset: number;
      length: number;
      type: number;
    }[];
    assert.equal(
      map.map(({ offset, length, type }) => [offset / MiB, length / MiB, type]),
      [
        [0, 1, 3],
        [1, 1, 0],
        [2, 6, 3],
      ],
    );
    const extents = JSON.parse(await outputOf('qemu-img', 'map', '--output=json', '-f', 'raw', uri)) as {
      start: number;
      zero: boolean;
    }[];
    assert.equal(
      extents.map(({ start, zero }) => [start / MiB, zero]),
      [
        [0, true],
        [1, false],
        [2, true],
      ],
    );
  }));

for (const kind of ['memory', 'file']) {
  test(`qemu-io reads back the patterns that it wrote, zeroed and discarded (${kind})`, () => {
    const path = join(folder, 'patterns.img');
    closeSync(openSync(path, 'w'));
    truncateSync(path, 40 * MiB);
    return withServer(kind === 'memory' ? 'memory:40M' : `file:${path}`, [], async ({ uri }) => {
      const commands = [
        'write -P 7 1000 5000',
        'read -P 7 1000 5000',
        'read -P 0 0 1000',
        'write -f -P 8 0 4096',
        'aio_write -P 9 1M 3M',
        'aio_write -P 10 5M 64k',
        'aio_write -P 11 6M 512',
        'aio_flush',
        'read -P 9 1M 3M',
        'read -P 10 5M 64k',
        'read -P 11 6M 512',
        'discard 2M 1M',
        'read -P 9 1M 1M',
        'write -z 1M 64k',
        'read -P 0 1M 64k',
        'write -z -u 3M 100k',
        'read -P 0 3M 100k',
        'read -P 9 3248128 10000',
        'write -P 12 4M 32M',
        'read -P 12 4M 32M',
        'flush',
      ];
      const args = ['-f', 'raw', uri, ...commands.flatMap((command) => ['-c', command])];
      const said = await outputOf('qemu-io', ...args);
      assert.not.match(said, /failed|error/i);
    });
  });
}

test('a client that holds its connection does not keep the server from ending', async () => {
  const server = await NbdServeProcess.start('memory:1M');
  const client = runTool('qemu-io', ['-f', 'raw', server.uri, '-c', 'read 0 512', '-c', 'sleep 2000']);
  await outputOf('nbdinfo', '--size', server.uri);
  assert.is(await server.stop(), 'exit 0');
  assert.is(server.isRunning, false);
  await client.catch(() => {});
});

test('an address that is taken, a source that is not there and a wrong flag end with a sentence', async () => {
  const failures: [string, string[], RegExp][] = [
    ['file:/nowhere/disk.img', [], /\/nowhere\/disk\.img/],
    ['memroy:1G', [], /cannot open "memroy:1G": .* did you mean memory/],
    ['memory:1G', ['--read-onyl'], /unknown flag --read-onyl; did you mean --read-only\?/],
    ['memory:1G', ['--tcp', '127.0.0.1:0'], /give either --unix PATH or --tcp HOST:PORT/],
  ];
  for (const [source, flags, message] of failures) {
    let text = '';
    await NbdServeProcess.start(source, { flags }).catch((error: Error) => (text = error.message));
    assert.match(text, message);
  }
});

test.run();
