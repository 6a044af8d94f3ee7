// Records of processes: what is trusted, what is set aside, and the names of files.
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { codeOf } from '../world/testing/contract-world.ts';
import { fileStem, parseRecord, type ProcessRecord } from './process-record.ts';
import { inRig, readOrEmpty } from './testing/daemon-rig.ts';
import { controlSocketPath } from './socket-path.ts';

const RECORD: ProcessRecord = {
  version: 1,
  name: 'scrub/v1',
  identity: { pid: 4242, startTicks: 99, bootId: 'b' },
  command: ['/bin/scrub', '-x'],
  config: { whole: 'w', restartPart: 'r' },
  socketPath: '/run/x.sock',
};

const bytesOf = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

test('a record reads as it was written', () => {
  assert.equal(parseRecord(bytesOf(RECORD)), RECORD);
  assert.equal(parseRecord(bytesOf({ ...RECORD, identity: null })), { ...RECORD, identity: null });
});

test('what is not whole, not of this version or not of these types is no record', () => {
  const changes: object[] = [{ version: 2 }, { name: 1 }, { command: 'x' }, { command: [1] }, { config: {} }, { config: null }];
  changes.push(
    { identity: {} },
    { identity: { pid: 0, startTicks: 1, bootId: 'b' } },
    { identity: { pid: 1, startTicks: 1, bootId: 'b' } },
  );
  changes.push({ identity: { pid: 5.5, startTicks: 1, bootId: 'b' } }, { identity: [4242, 99, 'b'] }, { socketPath: null });
  for (const change of changes) assert.is(parseRecord(bytesOf({ ...RECORD, ...change })), null, JSON.stringify(change));
  const whole = bytesOf(RECORD);
  for (let length = 0; length < whole.length; length += 1) assert.is(parseRecord(whole.slice(0, length)), null);
  assert.is(parseRecord(new Uint8Array([0xff, 0xfe])), null);
});

test(
  'a record of another service is set aside, and its bytes are kept',
  inRig(async ({ world, folder, places }) => {
    await places.records.write(RECORD);
    assert.equal(await places.records.names(), ['scrub/v1']);
    const path = join(folder, 'other.process.json');
    await world.files.replace(path, bytesOf(RECORD));
    assert.is(await places.records.read('other'), null);
    assert.is(await world.files.read(path), null);
    assert.is(readOrEmpty(`${path}.set-aside`), JSON.stringify(RECORD));
    assert.equal(await places.records.read('scrub/v1'), RECORD);
    await places.records.remove('scrub/v1');
    await places.records.remove('scrub/v1');
    assert.equal(await places.records.names(), []);
  }),
);

test('names that could leave the folder or clash are refused', async () => {
  assert.is(fileStem('scrub/v-1.0_x'), 'scrub+v-1.0_x');
  for (const name of ['', '.', '../x', '/x', 'a+b', 'a b', 'a\0', 'ä', 'x'.repeat(129)]) {
    assert.is(await codeOf(Promise.resolve().then(() => fileStem(name))), 'INVALID_ARGUMENT', name);
  }
});

test('a socket path is the same in every life, another one for another name, and at most 107 bytes long', async () => {
  const world = { sha256: (bytes: Uint8Array): string => `${bytes.length}`.padStart(64, 'a') };
  assert.is(controlSocketPath(world, '/run/pf', 'x'), `/run/pf/${'a'.repeat(24)}.sock`);
  assert.is(controlSocketPath(world, 'f'.repeat(77), 'n'.repeat(5000)).length, 107);
  assert.is(await codeOf(Promise.resolve().then(() => controlSocketPath(world, 'f'.repeat(78), 'x'))), 'INVALID_ARGUMENT');
  assert.is(await codeOf(Promise.resolve().then(() => controlSocketPath(world, 'ä'.repeat(39), 'x'))), 'INVALID_ARGUMENT');
});

test.run();
