// Holds the repository to the rules of this folder. Each rule itself is shown red on planted examples in rules.test.ts.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { doorOffences, emptyDoorOffences, indexOffences } from './doors.ts';
import type { Doors } from './doors.ts';
import { GENERATED_FILES, driftOffences } from './generated.ts';
import { layerOffences, layerOf } from './layers.ts';
import { linkOffences } from './links.ts';
import { fileNameOffences, glossaryOffences, replacedWords } from './names.ts';
import { ROOT, isTypeScript, readRepository } from './repository.ts';
import { sizeOffences } from './sizes.ts';
import { registryOffences, textOffences } from './text.ts';
import { nodeImportOffences, worldDoorOffences } from './world-door.ts';

const files = readRepository();
const sources = files.filter((file) => isTypeScript(file.path));
const pages = new Map(files.filter((file) => file.path.endsWith('.md')).map((file) => [file.path, file.text]));
const manifest = JSON.parse(readFileSync(join(ROOT, 'datapath/package.json'), 'utf8')) as { exports: Doors };

function none(offences: readonly string[]): void {
  assert.is(offences.length, 0, `\n    ${offences.join('\n    ')}`);
}

test('the walk sees the repository', () => {
  assert.ok(files.some((file) => file.path === 'Makefile'));
  assert.ok(files.some((file) => file.path === '.ci/run'));
  assert.ok(files.some((file) => file.path === 'datapath/bin/launch'));
  assert.ok(sources.some((file) => file.path === 'datapath/src/base/errors.ts'));
});

test('every folder of datapath/src has a row in the import table', () => {
  const strays = sources.filter((file) => file.path.startsWith('datapath/src/') && layerOf(file.path) === null);
  none(strays.map((file) => `${file.path}: its folder is not in e2e/house/layers.ts`));
});

test('imports go down the stairs only', () => none(sources.flatMap(layerOffences)));

test('the workspaces enter each other by published doors', () => {
  none(sources.flatMap((file) => doorOffences(file, manifest.exports)));
});

test('index.ts exists at doors only, and every door has one', () => {
  none([...indexOffences(files, manifest.exports), ...emptyDoorOffences(files, manifest.exports)]);
});

test('Node itself refuses a way past the doors', async () => {
  assert.is(typeof (await import('@pureflash/datapath/base')).PfError, 'function');
  const past: string = '@pureflash/datapath/src/base/errors.ts';
  const error = await import(past).then(
    () => null,
    (reason: unknown) => reason as { code: string },
  );
  assert.is(error?.code, 'ERR_PACKAGE_PATH_NOT_EXPORTED');
});

test('the machine is reached through the world', () => {
  none(sources.flatMap((file) => [...worldDoorOffences(file), ...nodeImportOffences(file)]));
});

test('files, functions and READMEs keep their size', () => none(files.flatMap(sizeOffences)));

test('file names are kebab-case nouns', () => none(sources.flatMap((file) => fileNameOffences(file.path))));

test('names are made of the words of the glossary', () => {
  const replaced = replacedWords(pages.get('docs/glossary.md') ?? '');
  assert.ok(replaced.size > 5, 'docs/glossary.md has no table of replaced words');
  none(sources.flatMap((file) => glossaryOffences(file, replaced)));
});

test('text is clean', () => none(files.flatMap(textOffences)));

test('no address of a package registry is recorded', () => none(files.flatMap(registryOffences)));

test('links of the documents lead somewhere', () => {
  const exists = (path: string): boolean => existsSync(join(ROOT, path));
  none(files.filter((file) => file.path.endsWith('.md')).flatMap((file) => linkOffences(file, pages, exists)));
});

test('generated files are what their sources say', () => {
  const texts = new Map(files.map((file) => [file.path, file.text]));
  none(driftOffences(GENERATED_FILES, (path) => texts.get(path) ?? null));
});

test.run();
