// What every mapper has to do, with ublk on a guest's kernel of 6.16 or later: the contract suite runs whole inside the guest, and leaves
// nothing there. And deaths at any moment of making a device and taking it away.
// deadline: 900s
// needs: ublk-guest native fio mkfs.ext4 blkdiscard
// long
import { resolve } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ublkLinux } from './ublk-kernel.ts';
import { runInGuest } from './virtual-machine.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const isFull = process.env['PF_FULL'] === '1';
const DEADLINE_MS = isFull ? 3_000_000 : 420_000;
const KILLS = isFull ? 20 : 5;
const DEATHS = isFull ? 200 : 24;
const NOTHING_LEFT =
  'for left in /sys/block/ublkb* /sys/class/ublk-char/ublkc* /dev/ublkc*; do [ ! -e $left ] || { echo "left: $left"; exit 1; }; done';

async function outputOf(program: string): Promise<string> {
  const { status, output } = await runInGuest({
    linux: ublkLinux(),
    script: [
      `cd ${ROOT}`,
      `export NODE_COMPILE_CACHE=/tmp/compile-cache NO_COLOR=1 PF_PORTS=io_uring PF_KILLS=${KILLS}`,
      `${process.execPath} ${program} || { dmesg | tail -n 40; exit 1; }`,
      NOTHING_LEFT,
    ].join('\n'),
    deadlineMs: DEADLINE_MS,
  });
  assert.is(status, 0, output);
  return output;
}

test('the ublk mapper keeps the contract of mappers, and leaves no device', async () => {
  const output = await outputOf('datapath/src/attach/ublk/kernel.test.ts');
  for (const line of output.split(/\r?\n/).filter((each) => each.includes('under load'))) console.log(`  ${line}`);
});

test('a process that dies while it makes a device or takes it away leaves one that is served, or none', async () => {
  const output = await outputOf(`e2e/vm/ublk-deaths-guest.ts ${DEATHS}`);
  const line = /\{"deaths".*\}/.exec(output)?.[0] ?? '{}';
  const { deaths, mapped, adopted, records, devices } = JSON.parse(line) as Record<string, unknown>;
  console.log(`  ${line}`);
  assert.is(deaths, DEATHS);
  assert.is(Number(mapped) + Number(adopted), DEATHS);
  assert.equal([records, devices], [[], []]);
});

test('a request that is not answered is left to the next server by a hand-over, and fails by an unmap', async () => {
  const output = await outputOf('e2e/vm/ublk-stuck-guest.ts');
  const line = /\{"stuck".*\}/.exec(output)?.[0] ?? '{}';
  const { writer, reader, handOverMs, unmapMs } = JSON.parse(line) as Record<string, unknown>;
  console.log(`  ${line}`);
  assert.equal({ writer, reader }, { writer: 0, reader: 1 });
  assert.ok(Number(handOverMs) < 10_000 && Number(unmapMs) < 10_000, line);
});

test.run();
