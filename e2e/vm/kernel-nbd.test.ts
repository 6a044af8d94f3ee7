// Kernel NBD devices on a real kernel (Linux 6.1 in a guest): attach, file system, checked load, growth while mounted, hand-over and
// kill -9 under load with the next process taking over, two connections, reaping, and nothing left. In the long form with more load.
// The guest tells facts (kernel-nbd-guest.ts); the tests here say what they must be.
// deadline: 240s
// long
// needs: guest native fio mkfs.ext4 resize2fs e2fsck
import { resolve } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { runInGuest } from './virtual-machine.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const MiB = 1024 * 1024;
const isLong = process.env['PF_FULL'] === '1';
const DEADLINE_MS = isLong ? 900_000 : 200_000;
/** The kernel looks for requests of sockets that are gone every 2 s, in whole seconds of its own; the rest is the next process's start. */
const STALL_MS_MAX = 20_000;
const GONE = { size: '0', pid: null, backend: null, records: [] };

type Fact = Readonly<Record<string, unknown>>;

const facts = new Map<string, Fact>();
let output = '';

const test = suite('kernel NBD');

test.before(async () => {
  const ports = process.env['PF_PORTS'] ?? 'auto';
  const result = await runInGuest({
    script: [
      `cd ${ROOT}`,
      `export PF_PORTS=${ports} NODE_COMPILE_CACHE=/tmp/compile-cache`,
      `${process.execPath} e2e/vm/kernel-nbd-guest.ts ${isLong ? 'long' : ''}`,
      'status=$?; [ $status = 0 ] || dmesg | tail -n 40; exit $status',
    ].join('\n'),
    modules: ['nbd:nbds_max=0:max_part=0'],
    deadlineMs: DEADLINE_MS,
  });
  output = result.output;
  for (const line of output.split(/\r?\n/).filter((each) => each.startsWith('{"fact"'))) {
    const fact = JSON.parse(line) as Fact;
    facts.set(fact['fact'] as string, fact);
  }
  if (result.status !== 0)
    console.log(`${output}\nthe guest ended with ${result.status}${result.isOverdue ? ' at its deadline' : ''}`);
});

/** Of that fact, the values with these names. */
function seen(name: string, ...keys: string[]): Fact {
  const fact = facts.get(name);
  if (fact === undefined) throw new Error(`the guest did not come to "${name}"`);
  return Object.fromEntries(keys.map((key) => [key, fact[key]]));
}

function number(name: string, key: string): number {
  return Number(seen(name, key)[key]);
}

test('a device is mapped under its name, with blocks of 4 KiB and a tuned queue, and carries a file system', () => {
  const wanted = {
    devicePath: '/dev/nbd0',
    sizeBytes: 128 * MiB,
    backend: 'cluster.volume-1',
    sectors: String((128 * MiB) / 512),
  };
  assert.equal(seen('mapped', 'devicePath', 'sizeBytes', 'backend', 'sectors'), wanted);
  assert.equal(seen('mapped', 'ioTimeout'), { ioTimeout: '2000' });
  assert.equal(seen('queue', 'scheduler', 'maxSectorsKb', 'block'), {
    scheduler: '[none] mq-deadline kyber',
    maxSectorsKb: '1024',
    block: '4096',
  });
  assert.equal(seen('mapped twice', 'error'), { error: 'ALREADY_EXISTS' });
  assert.equal(seen('load', 'errors'), { errors: 0 });
  console.log(`  mapped in ${number('mapped', 'ms')} ms, ports ${String(facts.get('mapped')?.['ports'])}`);
});

test('the device grows while it is mounted, and is not unmapped then', () => {
  assert.equal(seen('resized', 'sizeBytes', 'sectors'), { sizeBytes: 192 * MiB, sectors: String((192 * MiB) / 512) });
  assert.ok(number('resized', 'fileSystemMiB') > 150);
  assert.equal(seen('unmap while mounted', 'error', 'sectors'), { error: 'INVALID_STATE', sectors: String((192 * MiB) / 512) });
});

test('handing over under load costs no error, and no wait for the kernel to look', () => {
  assert.equal(seen('handed over', 'errors'), { errors: 0 });
  console.log(
    `  handed over: longest request ${number('handed over', 'longestMs')} ms, adopted in ${number('handed over', 'adoptMs')} ms`,
  );
  assert.ok(number('handed over', 'longestMs') < STALL_MS_MAX);
});

test('kill -9 under load, and the next process adopts: no error, every byte there, a bounded stall', () => {
  assert.equal(seen('killed and adopted', 'errors', 'sizeBytes'), { errors: 0, sizeBytes: 192 * MiB });
  const [stallMs, downMs] = [number('killed and adopted', 'longestMs'), number('killed and adopted', 'downMs')];
  console.log(`  kill -9: longest request ${stallMs} ms, of which nobody served for ${downMs} ms`);
  assert.ok(stallMs < STALL_MS_MAX);
  assert.match(String(seen('checked', 'fsck')['fsck']), /^\/dev\/nbd0: \d+\/\d+ files/);
});

test('after unmap() nothing is left', () => {
  assert.equal(seen('detached', 'size', 'pid', 'backend', 'records'), GONE);
});

test('with two connections late answers cost a socket but no error, and both are adopted after kill -9', () => {
  assert.equal(seen('late answers', 'errors'), { errors: 0 });
  assert.ok(number('late answers', 'mended') >= 1, 'the kernel gave no socket up');
  assert.match(output, 'the kernel has given up a socket of an NBD device');
  assert.equal(seen('two connections adopted', 'errors', 'reconnected'), { errors: 0, reconnected: 2 });
  assert.equal(seen('two connections detached', 'size', 'pid', 'backend', 'records'), GONE);
});

test('what nobody knows is reaped, and nothing else', () => {
  assert.equal(seen('reaped', 'kept', 'removed'), { kept: [], removed: ['cluster.volume-1'] });
  assert.equal(seen('reaped', 'size', 'pid', 'backend', 'records'), GONE);
  console.log(`  the guest's whole life: ${number('end', 'atMs')} ms`);
});

test.run();
