// What every files port does.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { World } from '../world.ts';
import { codeOf, inWorld, type NewPath, type OpenWorld } from './contract-world.ts';

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array | null): string | null => (bytes === null ? null : new TextDecoder().decode(bytes));

/** Makes a symbolic link where `world` sees it: the port only reads them. */
export type MakeLink = (world: World, path: string, target: string) => void;

export function filesContract(name: string, openWorld: OpenWorld, newPath: NewPath, makeLink: MakeLink): void {
  const test = suite(`files: ${name}`);
  const check = (fact: string, body: (world: World, path: string) => Promise<void>): void => {
    test(
      fact,
      inWorld(openWorld, (world) => body(world, newPath('file'))),
    );
  };
  check('a missing file reads as null', async ({ files }, path) => {
    assert.is(await files.read(path), null);
  });
  check('replace() creates and replaces; calls for one path take effect in order', replacing);
  check('appends keep the order of the calls and survive reopening', appending);
  check('truncate() cuts, and appending goes on there', truncating);
  check('folders: made with their parents, listed sorted, empty when missing', folders);
  check('remove() removes, and is content when there is nothing', removing);
  check('readStart() reads as much as it is told, less of a shorter file, and null of none', readingTheStart);
  check('readLink() says what a link says; null for a file and for nothing', (world, path) =>
    readingLinks(world, path, makeLink),
  );
  check('a lock is exclusive until it is released', locking);
  test.run();
}

async function replacing({ files }: World, path: string): Promise<void> {
  await files.replace(path, encode('one'));
  assert.is(decode(await files.read(path)), 'one');
  await Promise.all(Array.from({ length: 10 }, (_, index) => files.replace(path, encode(`version ${index}`))));
  assert.is(decode(await files.read(path)), 'version 9');
  await files.replace(path, new Uint8Array(0));
  assert.is(decode(await files.read(path)), '');
}

async function appending({ files }: World, path: string): Promise<void> {
  const file = await files.openAppend(path);
  assert.is(file.sizeBytes, 0);
  await Promise.all(Array.from({ length: 50 }, (_, index) => file.append(encode(`${index},`))));
  const expected = Array.from({ length: 50 }, (_, index) => `${index},`).join('');
  assert.is(file.sizeBytes, expected.length);
  await file.close();
  assert.is(decode(await files.read(path)), expected);
  const again = await files.openAppend(path);
  assert.is(again.sizeBytes, expected.length);
  await again.append(encode('end'));
  await again.close();
  assert.is(decode(await files.read(path)), `${expected}end`);
  assert.is.not(await codeOf(again.append(encode('more'))), 'nothing');
}

async function truncating({ files }: World, path: string): Promise<void> {
  const file = await files.openAppend(path);
  await file.append(encode('hello world'));
  await file.truncate(5);
  assert.is(file.sizeBytes, 5);
  await file.append(encode('!'));
  await file.close();
  assert.is(decode(await files.read(path)), 'hello!');
}

async function folders({ files }: World, path: string): Promise<void> {
  const folder = `${path}-folder/deep`;
  assert.equal(await files.list(folder), []);
  await files.makeFolder(folder);
  await files.makeFolder(folder);
  for (const name of ['b', 'a', 'c']) await files.replace(`${folder}/${name}`, encode(name));
  assert.equal(await files.list(folder), ['a', 'b', 'c']);
}

async function removing({ files }: World, path: string): Promise<void> {
  await files.replace(path, encode('x'));
  await files.remove(path);
  assert.is(await files.read(path), null);
  await files.remove(path);
}

async function readingTheStart({ files }: World, path: string): Promise<void> {
  assert.is(await files.readStart(path, 10), null);
  await files.replace(path, encode('hello world'));
  assert.is(decode(await files.readStart(path, 5)), 'hello');
  assert.is(decode(await files.readStart(path, 11)), 'hello world');
  assert.is(decode(await files.readStart(path, 1000)), 'hello world');
}

async function readingLinks(world: World, path: string, makeLink: MakeLink): Promise<void> {
  const { files } = world;
  const folder = `${path}-links`;
  await files.makeFolder(folder);
  makeLink(world, `${folder}/link`, '../no/such/place');
  await files.replace(`${folder}/file`, encode('x'));
  assert.is(await files.readLink(`${folder}/link`), '../no/such/place');
  assert.is(await files.readLink(`${folder}/file`), null);
  assert.is(await files.readLink(`${folder}/nothing`), null);
  assert.equal(await files.list(folder), ['file', 'link']);
}

async function locking({ files }: World, path: string): Promise<void> {
  const first = await files.lock(path);
  assert.is(await codeOf(files.lock(path)), 'INVALID_STATE');
  await first.release();
  const second = await files.lock(path);
  await second.release();
}
