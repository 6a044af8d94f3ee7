// kill -9 of the plugin and of pfnbd while a mounted volume is written and checked: the plugin's deaths are not noticed, pfnbd's are a stall.
// PF_FULL=1 takes the long form: 100 deaths of the plugin, 20 of pfnbd.
// needs: root native fio mkfs.xfs /dev/fuse
// deadline: 600s
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openNodeWorld } from '@pureflash/datapath/world';
import type { Claim, WalkedVolume } from '../../csi/src/walker.ts';
import type { Daemon } from '../local/daemon.ts';
import { runFio, type FioResult } from '../local/fio.ts';
import { ownSubnet } from '../local/local-cluster.ts';
import { sayWhy } from '../local/say-why.ts';
import { waitFor } from '../local/wait-for.ts';
import { holdersBelow, loopsBelow, mountsBelow, removeWithDevices } from './clean-up.ts';
import { CsiCluster } from './csi-cluster.ts';

const isFull = process.env['PF_FULL'] === '1';
const PLUGIN_DEATHS = isFull ? 100 : 10;
const PFNBD_DEATHS = isFull ? 20 : 4;
/** A new process of pfnbd, and the cluster's answer to it. */
const STALL_MS_MAX = 15_000;
const CLAIM: Claim = { name: 'load', sizeBytes: 512 * 1024 ** 2, fsType: 'xfs' };

const folder = mkdtempSync('/tmp/pf-kills-');
const cluster = new CsiCluster({ folder, subnet: ownSubnet() });
const world = await openNodeWorld({ ports: 'libuv', memoryBytes: 4 * 1024 ** 2 });
const walker = cluster.node.walker(world);
let walked: WalkedVolume;

test.before(
  sayWhy(async () => {
    await cluster.start();
    walked = await walker.use(CLAIM, await walker.create(CLAIM));
  }),
);

test.after(async () => {
  walker[Symbol.dispose]();
  await cluster.stop();
  removeWithDevices(folder);
  await world.close();
});

test(`${PLUGIN_DEATHS} deaths of the plugin under load: no error, and every call is answered again`, async () => {
  const { driver } = cluster.node;
  const { result, deaths } = await loadWhile(async () => {
    await die(driver);
    const { volumeCondition } = await walker.node.nodeGetVolumeStats({
      volumeId: walked.volumeId,
      volumePath: walked.targetPath,
    });
    assert.is(volumeCondition?.abnormal, false);
  }, PLUGIN_DEATHS);
  report('plugin', deaths, result);
});

test(`${PFNBD_DEATHS} deaths of pfnbd under load: no error, the stall is bounded, the device is the same`, async () => {
  const before = await attached();
  const { result, deaths } = await loadWhile(async () => {
    await die(cluster.node.pfnbd);
    await waitFor('pfnbd to serve the volume again', STALL_MS_MAX, async () =>
      (await attached()).state === 'SERVING' ? true : null,
    );
  }, PFNBD_DEATHS);
  report('pfnbd', deaths, result);
  assert.ok(result.longestMs <= STALL_MS_MAX, `longest stall ${result.longestMs} ms`);
  assert.is((await attached()).device, before.device);
});

test('an orderly end of pfnbd hands the device over: no error, a short stall', async () => {
  const { pfnbd } = cluster.node;
  const { result, deaths } = await loadWhile(async () => {
    assert.is(await pfnbd.stop(), 'exit 0', pfnbd.logTail());
    pfnbd.start();
    await waitFor('pfnbd to serve the volume again', STALL_MS_MAX, async () =>
      (await attached()).state === 'SERVING' ? true : null,
    );
  }, 2);
  report('orderly ends of pfnbd', deaths, result);
});

test('the volume goes as it should after all that, and leaves nothing', async () => {
  await walker.release(walked);
  await walker.delete(walked.volumeId);
  assert.equal([mountsBelow(folder), loopsBelow(folder), holdersBelow(folder)], [[], [], []]);
  assert.equal(await cluster.cluster.pfcli('list_volume'), []);
});

/** Kills and starts it again; resolves when it serves. */
async function die(daemon: Daemon): Promise<void> {
  await daemon.kill();
  daemon.start();
  await cluster.node.untilServing(daemon);
}

/** Checked random writes for as long as `harm` is done `times`; resolves with what fio saw. */
async function loadWhile(harm: () => Promise<void>, times: number): Promise<{ result: FioResult; deaths: number }> {
  const file = join(walked.targetPath, 'data');
  const base = { file, size: '64m', isVerified: true, depth: 8 } as const;
  let deaths = 0;
  let hasEnded = false;
  const results: FioResult[] = [];
  const load = (async () => {
    while (!hasEnded) results.push(await runFio({ ...base, pattern: 'randwrite', seconds: 5 }));
  })();
  try {
    for (; deaths < times; deaths += 1) await harm();
  } finally {
    hasEnded = true;
    await load;
  }
  const worst = results.reduce((one, other) => (one.longestMs > other.longestMs ? one : other));
  const failed = results.find((each) => each.exitCode !== 0 || each.errors > 0);
  return { result: failed ?? worst, deaths };
}

async function attached(): Promise<{ readonly state: string; readonly device: string }> {
  const [volume] = await cluster.node.attacher(world).list();
  return volume!;
}

function report(who: string, deaths: number, result: FioResult): void {
  const { errors, iops, longestMs } = result;
  process.stdout.write(
    `${who}: ${deaths} deaths, ${errors} errors, ${Math.round(iops)} IOPS, longest stall ${Math.round(longestMs)} ms\n`,
  );
  assert.equal([result.exitCode, errors], [0, 0], result.output.slice(0, 4000));
}

test.run();
