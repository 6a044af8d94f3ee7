// deadline: 300s
// needs: fio nbdinfo
// kill -9 of every process of the cluster at once, under load, several times: what was acknowledged reads back.
// Each of the writers stamps its own sectors with rising numbers and remembers the last acknowledged one of each sector.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LocalCluster, ownSubnet } from './local-cluster.ts';
import { StampWriter } from './stamp-writer.ts';

const ROUNDS = process.env['PF_FULL'] === '1' ? 10 : 3;
const folder = mkdtempSync(join(tmpdir(), 'pureflash-kill-all-'));
const cluster = new LocalCluster({ folder, subnet: ownSubnet() });

test.after(async () => {
  await cluster.stop();
  if (process.env['PF_KEEP'] !== '1') rmSync(folder, { recursive: true, force: true });
});

test('every acknowledged write is there after kill -9 of all processes at once', async () => {
  await cluster.start();
  await cluster.pfcli('create_volume', '-v', 'v1', '-s', '256M', '--rep', '3');
  const writer = new StampWriter(256);
  for (let round = 0; round < ROUNDS; round += 1) {
    const { uri } = await cluster.serve('v1', `round-${round}.sock`);
    await writer.connect(uri);
    if (round > 0) await writer.check();
    const before = writer.acknowledged;
    writer.start();
    await sleep(2000);
    await cluster.killAll();
    await writer.stopped();
    assert.ok(
      writer.acknowledged - before > 100,
      `only ${writer.acknowledged - before} writes were acknowledged in round ${round}`,
    );
    await cluster.start();
  }
  const { uri } = await cluster.serve('v1', 'last.sock');
  await writer.connect(uri);
  const checked = await writer.check();
  process.stdout.write(`${writer.acknowledged} acknowledged writes in ${ROUNDS} rounds; ${checked} blocks checked\n`);
  assert.ok(checked > 100);
  await writer.close();
  await cluster.waitForSync('v1');
  const comparison = (await cluster.pfcli('compare_replicas', '-v', 'v1')) as { is_equal: boolean };
  assert.ok(comparison.is_equal);
});

test.run();
