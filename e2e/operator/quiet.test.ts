// deadline: 900s
// long
// needs: kube openssl setpriv
// An operator with fifty stores and five hundred volumes to look after, and nothing to do: how much it writes, computes and holds. And
// its way through an outage of the API server. PF_FULL=1 takes the long form: ten minutes of rest, a minute of outage.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { API_VERSION } from '@pureflash/operator/api';
import { bundle } from '../../images/bundle.ts';
import { COMPONENTS } from '../../images/programs.ts';
import { sayWhy } from '../local/say-why.ts';
import { waitFor } from '../local/wait-for.ts';
import { useControlPlane } from '../kube/suite.ts';
import { clusterSeen, installCrds, NAMESPACE, OperatorProcess, specOnFiles, storageCluster } from './operator-rig.ts';
import { WriteGate } from './write-gate.ts';

const IS_FULL = process.env['PF_FULL'] === '1';
const REST_S = IS_FULL ? 600 : 45;
const OUTAGE_S = IS_FULL ? 60 : 15;
const STORES = 50;
const VOLUMES = 500;
const RSS_MAX_MIB = 200;
const CPU_MAX_PERCENT = 1;

const folder = mkdtempSync(join(tmpdir(), 'pureflash-quiet-'));
const plane = useControlPlane(test);
let gate: WriteGate;
let operator: OperatorProcess;

test.before(
  sayWhy(async () => {
    await installCrds(plane());
    gate = await WriteGate.open(plane(), { judge: () => null, strike: async () => {} });
    const kubeconfig = join(folder, 'kubeconfig');
    writeFileSync(kubeconfig, gate.kubeconfig);
    // As the image has it: what compiles TypeScript at the start is not there.
    const programs = await bundle(COMPONENTS.find((each) => each.name === 'pureflash-operator')!, join(folder, 'programs'));
    operator = new OperatorProcess(kubeconfig, folder, join(programs, 'pureflash-operator.mjs'));
    await makeNodes();
    await plane().apply([storageCluster('demo', specOnFiles())]);
    const volumes = Array.from({ length: VOLUMES }, (_, index) => ({
      apiVersion: API_VERSION,
      kind: 'Volume',
      metadata: { name: `v${index}`, namespace: NAMESPACE },
      spec: { clusterName: 'demo', size: '1Gi' },
    }));
    await plane().apply(volumes);
    operator.start();
    await waitFor('every volume to be looked at', 180_000, async () => {
      const phases = await plane().kubectl('get', 'pfv', '-n', NAMESPACE, '-o', 'jsonpath={.items[*].status.phase}');
      return phases.split(' ').filter((phase) => phase === 'Pending').length === VOLUMES ? true : null;
    });
    await gate.untilQuiet(240_000);
  }),
);

test.after(async () => {
  await operator.kill();
  await gate.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Nodes without a kubelet: objects only. Their Ready is never renewed, which the node controller would notice after forty seconds. */
async function makeNodes(): Promise<void> {
  const names = Array.from({ length: STORES }, (_, index) => `n${index}`);
  const time = new Date().toISOString();
  const ready = {
    type: 'Ready',
    status: 'True',
    reason: 'Made',
    message: 'for the test',
    lastHeartbeatTime: time,
    lastTransitionTime: time,
  };
  await plane().apply(
    names.map((name) => ({ apiVersion: 'v1', kind: 'Node', metadata: { name, labels: { 'kubernetes.io/hostname': name } } })),
  );
  for (const [index, name] of names.entries()) {
    const status = { addresses: [{ type: 'InternalIP', address: `10.9.0.${index + 1}` }], conditions: [ready] };
    await plane().kubectl('patch', 'node', name, '--subresource=status', '--type=merge', '-p', JSON.stringify({ status }));
  }
}

test('everything is there: a workload and a resource for each store', async () => {
  const stores = await plane().kubectl('get', 'pfstore', '-n', NAMESPACE, '--no-headers');
  assert.is(stores.trim().split('\n').length, STORES);
  const sets = await plane().kubectl('get', 'sts', '-n', NAMESPACE, '--no-headers');
  assert.is(sets.trim().split('\n').length, STORES + 1);
});

test('at rest it writes next to nothing, and is small', async () => {
  const before = gate.writes.length;
  const cpuBefore = cpuSeconds(operator.pid);
  await sleep(REST_S * 1000);
  const writes = gate.writes.length - before;
  const percent = ((cpuSeconds(operator.pid) - cpuBefore) / REST_S) * 100;
  const rssMiB = rssKiB(operator.pid) / 1024;
  const perObjectMinute = writes / (STORES + VOLUMES + 1) / (REST_S / 60);
  console.log(
    `      ${REST_S} s: ${writes} writes (${perObjectMinute.toFixed(4)} for each object and minute), ${percent.toFixed(2)} % of a core, ${rssMiB.toFixed(0)} MiB`,
  );
  assert.ok(perObjectMinute < 1, `${writes} writes`);
  assert.ok(percent < CPU_MAX_PERCENT, `${percent} % of a core`);
  assert.ok(rssMiB < RSS_MAX_MIB, `${rssMiB} MiB`);
});

test('an outage of the API server ends no operator, and is followed by no storm', async () => {
  const { pid } = operator;
  await plane().stopApiServer();
  await sleep(OUTAGE_S * 1000);
  await plane().startApiServer();
  const before = gate.writes.length;
  await plane().kubectl(
    'patch',
    'pfcl',
    'demo',
    '-n',
    NAMESPACE,
    '--type=merge',
    '-p',
    '{"spec":{"stores":{"logLevel":"debug"}}}',
  );
  await waitFor('the change to be seen', 90_000, async () => {
    const seen = await clusterSeen(plane(), 'demo');
    return seen?.status?.observedGeneration === seen?.metadata.generation ? true : null;
  });
  await gate.untilQuiet(240_000);
  assert.is(operator.pid, pid);
  assert.ok(isRunning(pid), 'the operator lives');
  const writes = gate.writes.length - before;
  console.log(`      ${writes} writes after ${OUTAGE_S} s of outage`);
  assert.ok(writes < 60, `${writes} writes`);
});

const statOf = (pid: number): string[] => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');

/** User and system time; the clock ticks a hundred times a second. */
const cpuSeconds = (pid: number): number => (Number(statOf(pid)[11]) + Number(statOf(pid)[12])) / 100;

const rssKiB = (pid: number): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);

const isRunning = (pid: number): boolean => statOf(pid)[0] !== 'Z';

test.run();
