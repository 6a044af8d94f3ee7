// deadline: 900s
// needs: fio nbdinfo
// The death and the silence of the primary's store under load, for writers and for readers: no error, a bounded stall, and equal
// replicas at the end. PF_FULL=1 takes the long form: 60 s of load each, harm at 20 s, return at 40 s.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Daemon } from './daemon.ts';
import { runFio, type FioResult } from './fio.ts';
import { LocalCluster, ownSubnet } from './local-cluster.ts';
import { sayWhy } from './say-why.ts';

const LOAD_SECONDS = process.env['PF_FULL'] === '1' ? 60 : 15;
const SPAN = '256m';
const KILL_STALL_MS_MAX = 2000;
const STOP_STALL_MS_MAX = 3000;

const folder = mkdtempSync(join(tmpdir(), 'pureflash-failover-'));
const cluster = new LocalCluster({ folder, subnet: ownSubnet() });
let uri = '';

test.before(
  sayWhy(async () => {
    await cluster.start();
    await cluster.pfcli('create_volume', '-v', 'v1', '-s', '1G', '--rep', '3');
    ({ uri } = await cluster.serve('v1'));
    const fill = await runFio({ uri, pattern: 'write', blockSize: '128k', size: SPAN });
    assert.is(fill.exitCode, 0, fill.output);
  }),
);

test.after(async () => {
  await cluster.stop();
  rmSync(folder, { recursive: true, force: true });
});

test('writers survive kill -9 of the primary', async () => {
  const result = await loadWith(
    'randwrite',
    async (primary) => primary.kill(),
    async (primary) => primary.start(),
  );
  report('kill -9, writers', result, KILL_STALL_MS_MAX);
  await replicasAreEqual();
});

test('writers survive a primary that stops answering', async () => {
  const result = await loadWith('randwrite', stopAnswering, goOn);
  report('SIGSTOP, writers', result, STOP_STALL_MS_MAX);
  await replicasAreEqual();
});

test('readers survive kill -9 of the primary', async () => {
  const result = await loadWith(
    'randread',
    async (primary) => primary.kill(),
    async (primary) => primary.start(),
  );
  report('kill -9, readers', result, KILL_STALL_MS_MAX);
  await replicasAreEqual();
});

test('readers survive a primary that stops answering', async () => {
  const result = await loadWith('randread', stopAnswering, goOn);
  report('SIGSTOP, readers', result, STOP_STALL_MS_MAX);
  await replicasAreEqual();
});

async function stopAnswering(primary: Daemon): Promise<void> {
  primary.signal('SIGSTOP');
}

async function goOn(primary: Daemon): Promise<void> {
  primary.signal('SIGCONT');
}

async function loadWith(
  pattern: string,
  harm: (primary: Daemon) => Promise<void>,
  heal: (primary: Daemon) => Promise<void>,
): Promise<FioResult> {
  await cluster.waitForSync('v1');
  const primary = await cluster.primaryOf('v1');
  const isWriting = pattern === 'randwrite';
  const load = runFio({ uri, pattern, size: SPAN, seconds: LOAD_SECONDS, isVerified: isWriting });
  await sleep((LOAD_SECONDS / 3) * 1000);
  await harm(primary);
  await sleep((LOAD_SECONDS / 3) * 1000);
  await heal(primary);
  return load;
}

function report(what: string, result: FioResult, stallMsMax: number): void {
  process.stdout.write(
    `${what}: ${result.ios} requests, ${result.errors} errors, ${Math.round(result.iops)} IOPS, longest stall ${Math.round(result.longestMs)} ms (at most ${stallMsMax})\n`,
  );
  assert.is(result.exitCode, 0, result.output.slice(0, 2000));
  assert.is(result.errors, 0);
  assert.ok(result.ios > 1000, `${result.ios} requests are too few to show anything`);
  assert.ok(result.longestMs <= stallMsMax, `the longest stall was ${result.longestMs} ms, at most ${stallMsMax} are allowed`);
}

async function replicasAreEqual(): Promise<void> {
  await cluster.waitForSync('v1');
  const comparison = (await cluster.pfcli('compare_replicas', '-v', 'v1')) as {
    is_equal: boolean;
    replicas: readonly { written_blocks: number }[];
  };
  assert.ok(comparison.is_equal);
  assert.is(comparison.replicas.length, 3);
  for (const replica of comparison.replicas) assert.ok(replica.written_blocks >= 65_536, 'a replica holds less than was written');
}

test.run();
