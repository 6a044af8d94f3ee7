// nbd-serve --threads: several threads serve one memory export on one socket, and see each other's bytes. That takes io_uring:
// libuv cannot share a listening socket, and says so.
// needs: nbdcopy fio
// ports: both
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { runFio } from '../local/fio.ts';
import { NbdServeProcess } from './nbd-serve-process.ts';
import { outputOf } from './tool.ts';

const MiB = 1024 * 1024;

if (process.env['PF_PORTS'] === 'libuv') {
  test('threads are refused without io_uring', async () => {
    let text = '';
    await NbdServeProcess.start('memory:64M', { flags: ['--threads', '3'] }).catch((error: Error) => (text = error.message));
    assert.match(text, /--threads needs io_uring, which cannot be used here; serve with one thread/);
  });
} else {
  test('what one thread has written another one reads, under load on four connections', threadsSeeEachOther);
}

test('a source that threads cannot share is refused', async () => {
  let text = '';
  await NbdServeProcess.start('file:/tmp/x', { flags: ['--threads', '2'] }).catch((error: Error) => (text = error.message));
  assert.match(text, /flag --threads is 2, but only a memory:SIZE source can be shared by threads, not "file:\/tmp\/x"/);
});

async function threadsSeeEachOther(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'nbd-threads-'));
  const server = await NbdServeProcess.start('memory:64M', { flags: ['--threads', '3'] });
  const data = Buffer.alloc(64 * MiB);
  for (let at = 0; at < data.length; at += 512) data.writeUInt32LE(at / 512 + 1, at);
  writeFileSync(join(folder, 'in.img'), data);
  await outputOf('nbdcopy', '--connections=4', '--flush', join(folder, 'in.img'), server.uri);
  for (let round = 0; round < 4; round++) {
    await outputOf('nbdcopy', '--connections=1', server.uri, join(folder, 'out.img'));
    assert.is(Buffer.compare(readFileSync(join(folder, 'out.img')), data), 0);
  }
  const extra = ['--numjobs=4', '--offset_increment=16m', '--group_reporting'];
  const load = await runFio({ uri: server.uri, pattern: 'randwrite', depth: 16, size: '16m', isVerified: true, extra });
  assert.is(load.exitCode, 0, load.output);
  assert.is(load.errors, 0, load.output);
  assert.is(await server.stop(), 'exit 0');
  rmSync(folder, { recursive: true });
}

test.run();
