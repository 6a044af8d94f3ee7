// deadline: 240s
// needs: nbdinfo nbdcopy qemu-img qemu-io
// A three-replica volume, small shards and all, exported by pfcli, under the tools of libnbd and qemu.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { outputOf } from '../interop/tool.ts';
import { LocalCluster, ownSubnet } from './local-cluster.ts';
import { sayWhy } from './say-why.ts';
import { waitFor } from './wait-for.ts';

const MiB = 1024 * 1024;
const SIZE = 160 * MiB;
const folder = mkdtempSync(join(tmpdir(), 'pureflash-tools-'));
const cluster = new LocalCluster({ folder, subnet: ownSubnet() });
const socket = join(folder, 'v1.sock');
const uri = `nbd+unix:///v1?socket=${socket}`;
const original = join(folder, 'original.img');
const back = join(folder, 'back.img');
let front: ReturnType<typeof spawn>;

test.before(
  sayWhy(async () => {
    await cluster.start();
    // Three shards: the tools cross two borders without knowing.
    await cluster.pfcli('create_volume', '-v', 'v1', '-s', String(SIZE), '--rep', '3', '--shard-size', '64M');
    const pfcli = resolve(import.meta.dirname, '../../datapath/bin/pfcli');
    const words = ['export_volume', '-v', 'v1', '--unix', socket, '-c', cluster.conductorAddress];
    front = spawn(pfcli, words, { stdio: ['ignore', 'ignore', 'inherit'] });
    await waitFor('the export', 20_000, () => outputOf('nbdinfo', '--size', uri));
    const data = Buffer.alloc(SIZE);
    for (let at = 0; at < 70 * MiB; at += 1) data[at] = (at * 31 + (at >> 9)) & 0xff;
    data.copyWithin(127 * MiB + 777, 0, 3 * MiB);
    writeFileSync(original, data);
  }),
);

test.after(async () => {
  const ended = new Promise((done) => front.once('exit', done));
  front.kill('SIGINT');
  await ended;
  await cluster.stop();
  rmSync(folder, { recursive: true, force: true });
});

test('nbdinfo sees a volume that can do everything', async () => {
  const info = (JSON.parse(await outputOf('nbdinfo', '--json', uri)) as { exports: [Record<string, unknown>] }).exports[0];
  const expected = {
    'export-size': SIZE,
    is_read_only: false,
    can_flush: true,
    can_fua: true,
    can_trim: true,
    can_zero: true,
    can_multi_conn: true,
  };
  for (const [key, value] of Object.entries(expected)) assert.is(info[key], value, key);
});

test('a second export on the same socket is refused and leaves the first one writing', async () => {
  const pfcli = resolve(import.meta.dirname, '../../datapath/bin/pfcli');
  const again = spawn(pfcli, ['export_volume', '-v', 'v1', '--unix', socket, '-c', cluster.conductorAddress], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  again.stderr.on('data', (piece: Buffer) => (said += piece.toString()));
  assert.is(await new Promise((done) => again.once('exit', done)), 73);
  assert.match(said, 'another process serves it');
  await outputOf('qemu-io', '-f', 'raw', '-c', 'write -P 1 0 4k', '-c', 'discard 0 4k', uri);
});

test('an empty volume is one hole', async () => {
  const map = JSON.parse(await outputOf('nbdinfo', '--map', '--json', uri)) as readonly { length: number; type: number }[];
  assert.equal(
    map.reduce((sum, extent) => sum + (extent.type === 3 ? extent.length : 0), 0),
    SIZE,
  );
});

test('nbdcopy carries an image there and back', async () => {
  await outputOf('nbdcopy', '--flush', original, uri);
  await outputOf('nbdcopy', uri, back);
  assert.is(Buffer.compare(readFileSync(back), readFileSync(original)), 0);
});

test('qemu-img converts and compares', async () => {
  assert.match(await outputOf('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', original, uri), 'Images are identical');
  await outputOf('qemu-io', '-f', 'raw', uri, '-c', `write -z -u 0 ${SIZE}`);
  await outputOf('qemu-img', 'convert', '-n', '-f', 'raw', '-O', 'raw', original, uri);
  await outputOf('qemu-img', 'convert', '-f', 'raw', '-O', 'raw', uri, back);
  assert.is(Buffer.compare(readFileSync(back), readFileSync(original)), 0);
});

test('qemu-io reads back its patterns over shard borders and odd offsets', async () => {
  const commands = [
    'write -P 7 1000 5000',
    'read -P 7 1000 5000',
    'write -P 9 63M 2M',
    'read -P 9 63M 2M',
    'aio_write -P 10 127M 64k',
    'aio_write -P 11 134217216 1024',
    'aio_flush',
    'read -P 11 134217216 1024',
    'discard 63M 1M',
    'read -P 0 63M 1M',
    'read -P 9 64M 1M',
    'write -z 64M 100k',
    'read -P 0 64M 100k',
    'write -f -P 12 4M 32M',
    'read -P 12 4M 32M',
    'flush',
  ];
  const said = await outputOf('qemu-io', '-f', 'raw', uri, ...commands.flatMap((command) => ['-c', command]));
  assert.not.match(said, /failed|error/i);
});

test('and the replicas are equal', async () => {
  const comparison = (await cluster.pfcli('compare_replicas', '-v', 'v1')) as { is_equal: boolean; replicas: readonly unknown[] };
  assert.ok(comparison.is_equal);
  assert.is(comparison.replicas.length, 9);
});

interface VolumeRow {
  readonly name: string;
  readonly size: number;
  readonly attached_to: string | null;
}

const listed = async (): Promise<VolumeRow> => ((await cluster.pfcli('list_volume')) as VolumeRow[])[0]!;

test('a volume grows while it is exported: the next export has the new size, and keeps the data', async () => {
  await cluster.pfcli('resize_volume', '-v', 'v1', '-s', '200M');
  assert.is((await listed()).size, 200 * MiB);
  await outputOf('qemu-io', '-f', 'raw', uri, '-c', 'write -P 5 159M 1M', '-c', 'read -P 5 159M 1M');
  const grown = await cluster.serve('v1', 'grown.sock');
  assert.is(Number(await outputOf('nbdinfo', '--size', grown.uri)), 200 * MiB);
  const commands = ['read -P 5 159M 1M', 'read -P 0 160M 40M', 'write -P 6 191M 9M', 'read -P 6 191M 9M'];
  const said = await outputOf('qemu-io', '-f', 'raw', grown.uri, ...commands.flatMap((command) => ['-c', command]));
  assert.not.match(said, /failed|error/i);
  assert.is((await listed()).attached_to, hostname());
  await grown.daemon.stop();
  assert.is((await listed()).attached_to, null, 'it said so when it ended');
});

test('a front that was killed stays recorded: its volume is deleted only after a detachment', async () => {
  const doomed = await cluster.serve('v1', 'doomed.sock');
  await doomed.daemon.kill();
  assert.is((await listed()).attached_to, hostname());
  const refusal = await cluster.pfcli('delete_volume', '-v', 'v1').then(() => 'deleted', String);
  assert.match(refusal, `"${hostname()}" has it attached for writing; close it there`);
  const detached = (await cluster.pfcli('detach_volume', '-v', 'v1')) as { attached_to: string | null };
  assert.is(detached.attached_to, null);
  await cluster.pfcli('delete_volume', '-v', 'v1');
  assert.equal(await cluster.pfcli('list_volume'), []);
});

test.run();
