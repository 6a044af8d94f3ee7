// Shows every rule of the house red on a planted offence and quiet on its innocent neighbour.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { doorOffences, emptyDoorOffences, indexOffences } from './doors.ts';
import { driftOffences } from './generated.ts';
import { layerOffences } from './layers.ts';
import { anchorsOf, linkOffences } from './links.ts';
import { fileNameOffences, glossaryOffences, replacedWords } from './names.ts';
import { sizeOffences } from './sizes.ts';
import { registryOffences, textOffences } from './text.ts';
import { nodeImportOffences, worldDoorOffences } from './world-door.ts';

const doors = { './api': './src/api/resources.ts' };

test('layers: a contract may not import a machine module', () => {
  const text = "import { readFile } from 'node:fs/promises';\n";
  const wanted = 'datapath/src/wire/a.ts:1: wire may not import "node:fs/promises": ask for it through a port of world/';
  assert.equal(layerOffences({ path: 'datapath/src/wire/a.ts', text }), [wanted]);
  assert.equal(layerOffences({ path: 'datapath/src/wire/a.test.ts', text }), []);
  assert.equal(layerOffences({ path: 'datapath/src/world/node/a.ts', text }), []);
});

test('layers: imports go down, also by export and by dynamic import', () => {
  const up = 'datapath/src/block/a.ts:1: block may not import volume ("../volume/b.ts"): it may import base, world';
  assert.equal(layerOffences({ path: 'datapath/src/block/a.ts', text: "import '../volume/b.ts';\n" }), [up]);
  assert.equal(layerOffences({ path: 'datapath/src/block/a.ts', text: "export * from '../volume/b.ts';\n" }), [up]);
  assert.equal(layerOffences({ path: 'datapath/src/block/a.ts', text: "await import('../volume/b.ts');\n" }), [up]);
  assert.equal(layerOffences({ path: 'datapath/src/volume/a.ts', text: "import type { B } from '../block/b.ts';\n" }), []);
});

test('layers: services do not know each other, and ports do not know their adapters', () => {
  const services = layerOffences({ path: 'datapath/src/store/a.ts', text: "import '../conductor/b.ts';\n" });
  assert.is(services.length, 1);
  const adapter = layerOffences({ path: 'datapath/src/world/a.ts', text: "import './node/b.ts';\n" });
  assert.equal(adapter, ['datapath/src/world/a.ts:1: world may not import world/node ("./node/b.ts"): it may import base']);
  assert.equal(layerOffences({ path: 'datapath/src/world/index.ts', text: "export * from './node/b.ts';\n" }), []);
});

test('layers: tests see more, and programs see no tests', () => {
  const text = "import '../sim/simulator.ts';\nimport './testing/pair.ts';\n";
  assert.equal(layerOffences({ path: 'datapath/src/wire/a.test.ts', text }), []);
  assert.equal(layerOffences({ path: 'datapath/src/wire/a.ts', text }), [
    'datapath/src/wire/a.ts:1: wire may not import sim ("../sim/simulator.ts"): it may import base, world',
    'datapath/src/wire/a.ts:2: "./testing/pair.ts" is for tests: programs do not import it',
  ]);
});

test('layers: a package, a missing suffix and a way out of the sources are refused', () => {
  assert.is(layerOffences({ path: 'datapath/src/base/a.ts', text: "import 'lodash';\n" }).length, 1);
  assert.is(layerOffences({ path: 'datapath/src/base/a.ts', text: "import './b';\n" }).length, 1);
  assert.is(layerOffences({ path: 'datapath/src/base/a.ts', text: "import '../../native/b.ts';\n" }).length, 1);
});

test('doors: operator and csi see the published doors and not each other', () => {
  const offences = (path: string, text: string): string[] => doorOffences({ path, text }, doors);
  assert.equal(offences('operator/src/a.ts', "import '@pureflash/datapath/api';\n"), []);
  assert.equal(offences('operator/src/a.ts', "import '@pureflash/datapath/store';\n"), [
    'operator/src/a.ts:1: "@pureflash/datapath/store" is no door of the datapath; the doors are ./api',
  ]);
  assert.is(offences('csi/src/a.ts', "import '../../datapath/src/store/disk.ts';\n").length, 1);
  assert.equal(offences('csi/src/a.ts', "import '@pureflash/operator/x';\n"), [
    'csi/src/a.ts:1: csi may not import operator ("@pureflash/operator/x")',
  ]);
  assert.is(offences('datapath/src/bin/a.ts', "import '../../../csi/src/b.ts';\n").length, 1);
});

test('doors: an index.ts that is no door and a door that is no file are refused', () => {
  const files = ['datapath/src/api/resources.ts', 'datapath/src/store/index.ts'].map((path) => ({ path, text: '' }));
  assert.equal(indexOffences(files, doors), [
    'datapath/src/store/index.ts: index.ts is kept for the doors of datapath/package.json',
  ]);
  assert.equal(emptyDoorOffences(files, doors), []);
  assert.equal(emptyDoorOffences([], doors), [
    'datapath/package.json: the door "./api" leads to "./src/api/resources.ts", which does not exist',
  ]);
});

test('world: time, randomness and the process are refused outside the adapters', () => {
  const offences = (text: string, path = 'datapath/src/store/a.ts'): number => worldDoorOffences({ path, text }).length;
  assert.equal(worldDoorOffences({ path: 'datapath/src/store/a.ts', text: 'const now = Date.now();\n' }), [
    "datapath/src/store/a.ts:1: Date is the machine's: use world.clock",
  ]);
  assert.is(offences('setTimeout(run, 5);\n'), 1);
  assert.is(offences('globalThis.setTimeout(run, 5);\n'), 1);
  assert.is(offences('const x = Math.random();\n'), 1);
  assert.is(offences('AbortSignal.timeout(5);\n'), 1);
  assert.is(offences('process.exit(1);\n'), 1);
  assert.is(offences('process.exit(1);\n', 'datapath/src/bin/a.ts'), 0);
  assert.is(offences('process.exit(1);\n', 'datapath/src/store/a.test.ts'), 0);
  assert.is(offences('process.exit(1);\n', 'operator/src/plan/a.ts'), 1);
});

test('world: members, parameters and comments of the same name are no offence', () => {
  const text =
    '// Date\nclass Clock { setTimeout(): void {} }\nfunction f(process: Clock): void { process.setTimeout(); Math.max(1, 2); }\n';
  assert.equal(worldDoorOffences({ path: 'datapath/src/store/a.ts', text }), []);
});

test('world: operator and csi keep node:* in their adapter folders', () => {
  const text = "import { readFile } from 'node:fs';\n";
  assert.is(nodeImportOffences({ path: 'csi/src/node/a.ts', text }).length, 1);
  assert.is(nodeImportOffences({ path: 'csi/src/host/a.ts', text }).length, 0);
  assert.is(nodeImportOffences({ path: 'operator/src/local/a.ts', text }).length, 1);
  assert.is(nodeImportOffences({ path: 'operator/src/local/host/a.ts', text }).length, 0);
});

test('sizes: a file of 601 lines, a function of 71 and a README of 41 are refused', () => {
  const lines = (count: number): string => 'x;\n'.repeat(count);
  const body = (count: number): string => `function f(): void {\n${lines(count - 2)}}\n`;
  assert.equal(sizeOffences({ path: 'datapath/src/store/a.ts', text: lines(600) }), []);
  assert.is(sizeOffences({ path: 'datapath/src/store/a.ts', text: lines(601) }).length, 1);
  assert.equal(sizeOffences({ path: 'datapath/src/store/a.ts', text: body(70) }), []);
  assert.equal(sizeOffences({ path: 'datapath/src/store/a.ts', text: body(71) }), [
    'datapath/src/store/a.ts:1: f(): 71 lines; a function has at most 70: it holds two ideas',
  ]);
  assert.is(sizeOffences({ path: 'datapath/src/bin/a.ts', text: lines(81) }).length, 1);
  assert.is(sizeOffences({ path: 'csi/README.md', text: lines(41) }).length, 1);
  assert.is(sizeOffences({ path: 'README.md', text: lines(41) }).length, 0);
});

test('names: catch-all words and other cases are refused', () => {
  assert.is(fileNameOffences('datapath/src/base/string-utils.ts').length, 1);
  assert.is(fileNameOffences('datapath/src/base/manager.test.ts').length, 1);
  assert.is(fileNameOffences('datapath/src/base/redoLog.ts').length, 1);
  assert.is(fileNameOffences('datapath/src/base/redo-log.test.ts').length, 0);
});

test('names: a declared name made of a replaced word is refused, prose is not', () => {
  const replaced = replacedWords('# G\n\n## Words we do not use\n\n| not | but |\n|---|---|\n| `tray` | disk |\n');
  assert.equal([...replaced], [['tray', 'disk']]);
  assert.equal(glossaryOffences({ path: 'a/b.ts', text: '// their tray\nconst trayCount = 1;\n' }, replaced), [
    'a/b.ts:2: "trayCount" says "tray": our word is disk',
  ]);
  assert.is(glossaryOffences({ path: 'a/tray-list.ts', text: '' }, replaced).length, 1);
  assert.is(glossaryOffences({ path: 'a/b.ts', text: 'const portray = 1;\n' }, replaced).length, 0);
});

test('text: tabs, trailing spaces, marks, silenced tests and ragged ends are refused', () => {
  const offences = (text: string, path = 'a.test.ts'): number => textOffences({ path, text }).length;
  assert.is(offences('a;\n'), 0);
  assert.is(offences('\ta;\n'), 1);
  assert.is(offences('a; \n'), 1);
  assert.is(offences('a;\r\n'), 1);
  assert.is(offences(`// ${'TO' + 'DO'} later\n`), 1);
  assert.is(offences(`test.${'on' + 'ly'}('x');\n`), 1);
  assert.is(offences('a;'), 1);
  assert.is(offences('a;\n\n'), 1);
  assert.is(offences('\ta:\n', 'Makefile'), 0);
  assert.is(offences(`cd ${'/ho' + 'me/'}me/clone\n`, 'a.md'), 1);
  assert.is(offences('node ./work/run.ts\n', 'a.md'), 0);
});

test('text: registries and download addresses are refused', () => {
  const address = ['https://registry', 'npmjs', 'org/x.tgz'].join('.');
  assert.is(registryOffences({ path: 'package-lock.json', text: `"resolved": "${address}"\n` }).length, 1);
  assert.is(
    registryOffences({ path: 'package-lock.json', text: `"resolved": ${'"https' + '://'}mirror.example/x.tgz"\n` }).length,
    1,
  );
  assert.is(registryOffences({ path: 'package-lock.json', text: '"resolved": "datapath"\n' }).length, 0);
});

test('links: missing files and headings are refused, code and the web are not looked at', () => {
  const pages = new Map([
    ['docs/a.md', '# A page: of `code`\n## Twice\n## Twice\n'],
    ['README.md', ''],
  ]);
  const offences = (text: string): string[] => linkOffences({ path: 'docs/b.md', text }, pages, (path) => pages.has(path));
  assert.equal([...anchorsOf(pages.get('docs/a.md') ?? '')], ['a-page-of-code', 'twice', 'twice-1']);
  assert.equal(offences('[a](a.md#twice-1) [r](../README.md) [w](https://example.org) `[x](no.md)`\n'), []);
  assert.equal(offences('[a](missing.md)\n'), ['docs/b.md:1: dead link to "missing.md"']);
  assert.equal(offences('[a](a.md#nowhere)\n'), ['docs/b.md:1: "docs/a.md" has no heading "#nowhere"']);
  assert.equal(offences('```\n[a](missing.md)\n```\n'), []);
  assert.is(offences('[a]: missing.md\n').length, 1);
});

test('generated: a file that differs or is missing is refused', () => {
  const files = [{ path: 'a.md', render: (): string => 'new\n' }];
  assert.equal(
    driftOffences(files, () => 'new\n'),
    [],
  );
  assert.equal(
    driftOffences(files, () => 'old\n'),
    ['a.md: is not what its source says: run make generate'],
  );
  assert.is(driftOffences(files, () => null).length, 1);
});

test.run();
