// pfdiscover as a program: its three outputs, another root, and what it says of wrong flags.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../base/sizes.ts';
import { HostFixture } from '../store/discovery/testing/host-fixture.ts';
import { makeTestFolder } from '../world/node/test-folder.ts';

const PROGRAM = resolve(import.meta.dirname, '../../bin/pfdiscover');
const newPath = makeTestFolder();
const host = new HostFixture(newPath('host'))
  .add({
    name: 'sda',
    sizeBytes: 16 * MiB,
    numbers: '8:0',
    links: ['dev/disk/by-id/ata-X_1'],
    attributes: { 'device/model': 'X\n' },
  })
  .add({ name: 'sr0', sizeBytes: 16 * MiB, numbers: '11:0' });

function run(...flags: readonly string[]): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(PROGRAM, flags, { encoding: 'utf8' });
  return { status, stdout, stderr };
}

test('a table for people', () => {
  const { status, stdout } = run('--root', host.root);
  assert.is(status, 0);
  assert.match(stdout, /\| \/dev\/disk\/by-id\/ata-X_1 \| +sda \| 16 MiB \| +scsi \| .* any \| +blank \|/);
  assert.match(stdout, /\| never: optical drive \| foreign \| optical drive \|/);
});

test('JSON for programs, and a termination log that is written in place', () => {
  const log = newPath('termination-log');
  writeFileSync(log, 'x'.repeat(5000));
  const { status, stdout } = run('--root', `${host.root}/`, '--json', '--termination-log', log);
  assert.is(status, 0);
  const report = JSON.parse(stdout) as { version: number; devices: { path: string; use: string }[] };
  assert.is(report.version, 1);
  assert.equal(
    report.devices.map(({ path, use }) => [path, use]),
    [
      ['/dev/disk/by-id/ata-X_1', 'blank'],
      ['/dev/sr0', 'foreign'],
    ],
  );
  const short = JSON.parse(readFileSync(log, 'utf8')) as { devices: { name: string }[] };
  assert.equal(
    short.devices.map(({ name }) => name),
    ['sda', 'sr0'],
  );
});

test('a root without /sys/block has no devices; wrong flags are refused by name', () => {
  assert.equal(JSON.parse(run('--root', newPath('nothing'), '--json').stdout), { version: 1, devices: [] });
  const { status, stderr } = run('--jsn');
  assert.is.not(status, 0);
  assert.match(stderr, /^pfdiscover: unknown flag --jsn; did you mean --json\?/);
});

test.run();
