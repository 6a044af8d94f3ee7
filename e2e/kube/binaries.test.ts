// The Kubernetes programs are found where they should be, and built again when what they are made of changes.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { findBinaries, GO_MODULES, programPath, PROGRAMS } from './binaries.ts';
import { BINARIES_FOLDER, wantedStamp } from './go-module.ts';

const folder = mkdtempSync(join(tmpdir(), 'assets-'));
test.after(() => rmSync(folder, { recursive: true }));

test('a folder in KUBEBUILDER_ASSETS counts when it holds every program', () => {
  process.env['KUBEBUILDER_ASSETS'] = folder;
  for (const program of PROGRAMS) {
    assert.is.not(findBinaries(), folder);
    writeFileSync(join(folder, program), '');
  }
  assert.is(findBinaries(), folder);
  assert.is(programPath('kubectl'), join(folder, 'kubectl'));
  delete process.env['KUBEBUILDER_ASSETS'];
  assert.ok([BINARIES_FOLDER, null].includes(findBinaries()));
});

test('every program belongs to one module', () => {
  assert.equal(GO_MODULES.flatMap((module) => module.programs).sort(), [...PROGRAMS].sort());
});

test('other flags are another build', () => {
  const [module] = GO_MODULES;
  assert.is(wantedStamp(module!), wantedStamp({ ...module! }));
  assert.is.not(wantedStamp(module!), wantedStamp({ ...module!, flags: ['-race'] }));
});

test.run();
