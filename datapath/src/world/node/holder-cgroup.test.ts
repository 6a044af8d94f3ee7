// Where a holder goes, with folders in the place of control groups; that it then outlives its pod is seen in e2e/csi.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { leaveCgroup } from './holder-cgroup.ts';

const folder = mkdtempSync(join(tmpdir(), 'pf-cgroup-'));
test.after(() => rmSync(folder, { recursive: true, force: true }));

function hierarchy(...path: string[]): string {
  const made = join(folder, ...path);
  mkdirSync(made, { recursive: true });
  writeFileSync(join(made, 'cgroup.procs'), '');
  return made;
}

const members = (...path: string[]): string => readFileSync(join(folder, ...path, 'cgroup.procs'), 'utf8');

test('version 2: a group of its own below the root', async () => {
  await leaveCgroup(4711, hierarchy('two'));
  assert.is(members('two', 'pureflash-holders'), '4711');
  assert.is(members('two'), '');
});

test('version 1: every hierarchy once; of processors the root, which needs no set-up', async () => {
  for (const name of ['devices', 'cpuset', 'cpu,cpuacct']) hierarchy('one', name);
  symlinkSync('cpu,cpuacct', join(folder, 'one/cpu'));
  mkdirSync(join(folder, 'one/no-hierarchy'));
  await leaveCgroup(12, join(folder, 'one'));
  assert.is(members('one', 'devices', 'pureflash-holders'), '12');
  assert.is(members('one', 'cpu,cpuacct', 'pureflash-holders'), '12');
  assert.is(members('one', 'cpuset'), '12');
  assert.not.ok(existsSync(join(folder, 'one/cpuset/pureflash-holders')));
  assert.not.ok(existsSync(join(folder, 'one/no-hierarchy/pureflash-holders')));
});

test('a place without control groups is told', async () => {
  try {
    await leaveCgroup(12, join(folder, 'nowhere'));
    assert.unreachable();
  } catch (error) {
    assert.match((error as Error).message, /^cannot move process 12 out of its control group, below /);
  }
});

test.run();
