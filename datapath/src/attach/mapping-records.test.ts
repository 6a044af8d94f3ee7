// A folder of records: what is written is read again under its name, and nothing else in the folder is taken for one.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MappingRecords, isMappingName, type RecordKind } from './mapping-records.ts';
import { MemoryMachine } from './nbd/testing/memory-machine.ts';

interface Note {
  readonly name: string;
  readonly text: string;
}

const NOTE: RecordKind<Note> = {
  suffix: '.note.json',
  version: 3,
  decode: (bytes, name, path) => {
    const { version, name: own, text } = JSON.parse(new TextDecoder().decode(bytes)) as Note & { version: number };
    return { name, text: `${text}, version ${version}, of ${own}, in ${path}` };
  },
};

test('a record is read as it was written, until it is removed', async () => {
  const records = new MappingRecords(new MemoryMachine().start().world.files, '/node', NOTE);
  assert.is(await records.read('v1'), null);
  await records.write({ name: 'v1', text: 'first' });
  await records.write({ name: 'v1', text: 'second' });
  const found = await records.read('v1');
  assert.equal(found, { name: 'v1', text: 'second, version 3, of v1, in /node/v1.note.json' });
  await records.remove('v1');
  assert.is(await records.read('v1'), null);
});

test('names() knows its own files only', async () => {
  const { files } = new MemoryMachine().start().world;
  const records = new MappingRecords(files, '/node', NOTE);
  for (const name of ['b', 'a.note', 'c']) await records.write({ name, text: '' });
  for (const stranger of ['v1.json', 'note.json', 'v2.note.json.set-aside'])
    await files.replace(`/node/${stranger}`, new Uint8Array());
  assert.equal([...(await records.names())].sort(), ['a.note', 'b', 'c']);
});

test('names of mappings are what a file name and the kernel carry', () => {
  for (const good of ['v1', 'pf-63df04ed-v1', 'A.b_c-9', 'x'.repeat(200)]) assert.ok(isMappingName(good), good);
  for (const bad of ['', '.', '..', 'a/b', 'a b', 'x'.repeat(201), 'ü']) assert.not(isMappingName(bad), bad);
});

test.run();
