// The end of a log, and what comes.
import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { followFile, tailOf } from './log-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'pf-'));
test.after(() => rmSync(folder, { recursive: true, force: true }));

test('the last lines, of short and of long files, and of none', async () => {
  const path = join(folder, 'a.log');
  assert.equal(await tailOf(path, 5), []);
  writeFileSync(path, 'one\ntwo\nthree\n');
  assert.equal(await tailOf(path, 2), ['two', 'three']);
  assert.equal(await tailOf(path, 9), ['one', 'two', 'three']);
  assert.equal(await tailOf(path, 0), []);
  writeFileSync(path, `${'x'.repeat(1000)}\n`.repeat(1000));
  assert.is((await tailOf(path, 1000)).length, 261);
});

test('lines that come are told whole, over a rotation too', async () => {
  const path = join(folder, 'b.log');
  writeFileSync(path, 'old\n');
  const lines: string[] = [];
  const stopping = new AbortController();
  const following = followFile(path, 1, (line) => lines.push(line), stopping.signal);
  const until = async (count: number): Promise<void> => {
    const deadline = Date.now() + 10_000;
    while (lines.length < count && Date.now() < deadline) await sleep(10);
  };
  await until(1);
  appendFileSync(path, 'a\nhal');
  await until(2);
  appendFileSync(path, 'f\n');
  await until(3);
  renameSync(path, `${path}.1`);
  writeFileSync(path, 'n\n');
  await until(4);
  stopping.abort();
  await following;
  assert.equal(lines, ['old', 'a', 'half', 'n']);
});

test.run();
