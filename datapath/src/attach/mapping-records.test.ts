// A folder of records: what is written is read again under its name, and nothing else in the folder is taken for one.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MappingRecords, fieldsOf, isMappingName, type RecordKind } from './mapping-records.ts';
import { MemoryMachine } from './nbd/testing/memory-machine.ts';

interface Note {
  readonly name: string;
  readonly text: string;
}

const NOTE: RecordKind<Note> = {
  suffix: '.note.json',
  version: 3,
  decode: (fields, name, path) => ({ name, text: fields === null ? 'damaged' : `${fields['text'] as string}, in ${path}` }),
};

test('a record is read as it was written, until it is removed', async () => {
  const records = new MappingRecords(new MemoryMachine().start().world.files, '/node', NOTE);
  assert.is(await records.read('v1'), null);
  await records.write({ name: 'v1', text: 'first' });
  await records.write({ name: 'v1', text: 'second' });
  const found = await records.read('v1');
  assert.equal(found, { name: 'v1', text: 'second, in /node/v1.note.json' });
  await records.remove('v1');
  assert.is(await records.read('v1'), null);
});

test('torn, foreign and later files have no fields', async () => {
  const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
  assert.equal(fieldsOf(encode('{"version":3,"name":"v1","text":"a"}'), 'v1', 3), { version: 3, name: 'v1', text: 'a' });
  for (const text of ['', '{', 'null', '[]', '7', '"v1"', '{"version":4,"name":"v1"}', '{"version":3,"name":"v2"}']) {
    assert.is(fieldsOf(encode(text), 'v1', 3), null, text);
  }
  assert.is(fieldsOf(Uint8Array.of(...encode('{"version":3,"name":"v1","text":"'), 0xff, ...encode('"}')), 'v1', 3), null);
  const { files } = new MemoryMachine().start().world;
  await files.replace('/node/v1.note.json', encode('{'));
  assert.equal(await new MappingRecords(files, '/node', NOTE).read('v1'), { name: 'v1', text: 'damaged' });
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
