// Load with checked data on nbd-serve through fio's nbd engine: every block carries its CRC32C.
// needs: fio
// ports: both
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { runFio } from '../local/fio.ts';
import { NbdServeProcess } from './nbd-serve-process.ts';
import { missing, runTool } from './tool.ts';

const CASES = [
  { source: 'memory:64M', blockSize: '4k', depth: 32, size: '48m' },
  { source: 'memory:64M', blockSize: '4k', depth: 1, size: '16m' },
  { source: 'memory:64M', blockSize: '3584-200k', depth: 16, size: '64m' },
  { source: 'memory:256M', blockSize: '4m', depth: 8, size: '256m' },
  { source: 'file', blockSize: '512-64k', depth: 32, size: '32m' },
] as const;

test('fio is there', async () => {
  const { exitCode } = await runTool('fio', ['--enghelp=nbd']);
  if (exitCode !== 0) throw missing('fio');
});

for (const { source, blockSize, depth, size } of CASES) {
  test(`fio finds what it wrote: ${source}, blocks of ${blockSize}, depth ${depth}`, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'nbd-fio-'));
    const path = join(folder, 'disk.img');
    writeFileSync(path, Buffer.alloc(64 * 1024 * 1024));
    const server = await NbdServeProcess.start(source === 'file' ? `file:${path}` : source);
    const isRange = blockSize.includes('-');
    const extra = isRange ? [`--bsrange=${blockSize}`] : [];
    const sizes = isRange ? {} : { blockSize };
    const result = await runFio({ uri: server.uri, pattern: 'randwrite', depth, size, isVerified: true, extra, ...sizes });
    assert.is(await server.stop(), 'exit 0');
    rmSync(folder, { recursive: true });
    assert.is(result.exitCode, 0, result.output);
    assert.is(result.errors, 0, result.output);
    assert.ok(result.ios > 0);
  });
}

test.run();
