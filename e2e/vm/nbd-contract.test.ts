// What every mapper has to do, on the guest's kernel: the contract suite runs whole inside the guest.
// deadline: 600s
// needs: guest native fio mkfs.ext4 blkdiscard
// long
import { resolve } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { runInGuest } from './virtual-machine.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const DEADLINE_MS = 500_000;
/** Processes start slowly in the guest; a kill costs the kernel's look for lost requests besides. */
const PACE = 'PF_KILLS=2 PF_LOAD_S=40';

test('the NBD mapper keeps the contract of mappers', async () => {
  const ports = process.env['PF_PORTS'] ?? 'auto';
  const { status, output } = await runInGuest({
    script: [
      `cd ${ROOT}`,
      `export NODE_COMPILE_CACHE=/tmp/compile-cache NO_COLOR=1 PF_PORTS=${ports} ${PACE}`,
      `${process.execPath} datapath/src/attach/nbd/kernel.test.ts || exit 1`,
      'for size in /sys/block/nbd*/size; do [ "$(cat $size)" = 0 ] || { echo "left: $size"; exit 1; }; done',
    ].join('\n'),
    modules: ['nbd:nbds_max=0:max_part=0'],
    deadlineMs: DEADLINE_MS,
  });
  for (const line of output.split(/\r?\n/).filter((each) => each.includes('under load'))) console.log(`  ${line}`);
  assert.is(status, 0, output);
});

test.run();
