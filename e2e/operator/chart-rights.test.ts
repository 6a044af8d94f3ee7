// deadline: 400s
// needs: kube openssl setpriv
// The chart's rights are enough and no more: the operator runs under its service account through the whole life of clusters, the API server's
// audit log shows no refusal, and every verb that the chart grants was used. Then verbs are taken away one by one, and it is noticed.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { API_VERSION, KINDS } from '@pureflash/operator/api';
import { sayWhy } from '../local/say-why.ts';
import { waitFor } from '../local/wait-for.ts';
import { useControlPlane } from '../kube/suite.ts';
import { ApiAudit, rightOf } from './api-audit.ts';
import { CHART, RELEASE } from './chart-rig.ts';
import { listVolumesAt } from './listing-conductor.ts';
import { clusterSeen, NAMESPACE, OperatorProcess, specOnFiles, storageCluster, waitForCondition } from './operator-rig.ts';

const PATIENCE_MS = 30_000;
const USER = `system:serviceaccount:${NAMESPACE}:pf-operator`;
const HERE = ['-n', NAMESPACE];
const folder = mkdtempSync(join(tmpdir(), 'pureflash-rights-'));
const audit = new ApiAudit(folder);
// Without controllers nothing but the operator moves. Owner references are held against rights, as OpenShift does.
const ENFORCED = '--enable-admission-plugins=OwnerReferencesPermissionEnforcement';
const plane = useControlPlane(test, { apiServerFlags: [...audit.flags, ENFORCED] });
let operator: OperatorProcess;
let wholeRole: Role;

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

interface Role {
  readonly rules: readonly Rule[];
}

/** With the chart's own rights for CSI controllers. */
const WITH_CSI = specOnFiles({ csi: {} });
const CSI_ROLE = ['--csi-role', `${NAMESPACE}:pf-operator-csi`];
const bindings = (count: number) => ({ rolebindings: count, clusterrolebindings: count, serviceaccounts: count });
const CHANGED = [
  ['serviceaccount', 'files-csi'],
  ['rolebinding', 'files-csi'],
  ['clusterrolebinding', `pureflash:${NAMESPACE}:files:csi`],
  ['storageclass', 'pureflash'],
  ['csidriver', 'csi.pureflash.io'],
] as const;

const objects = async (what: string, selector: string): Promise<readonly string[]> => {
  const text = await plane().kubectl('get', what, '-A', '-l', selector, '-o', 'name');
  return text.split('\n').filter((line) => line !== '');
};

test.before(
  sayWhy(async () => {
    await plane().kubectl('create', 'namespace', NAMESPACE);
    // Pods need it, and its maker is among the controllers that do not run.
    const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: meta('default', {}) };
    await plane().apply([SERVICE_MONITORS, account]);
    await plane().helm('install', RELEASE, CHART, ...HERE);
    for (const kind of KINDS) await plane().kubectl('wait', '--for=condition=Established', `crd/${kind.plural}.pureflash.io`);
    for (const number of [1, 2, 3]) await addNode(number);
    wholeRole = (await plane().find(`clusterrole/${NAMESPACE}:pf-operator`)) as Role;
    operator = new OperatorProcess(await kubeconfigOfAccount(), folder);
  }),
);

test.after(async () => {
  await operator.kill();
  rmSync(folder, { recursive: true, force: true });
});

test('the operator brings a cluster up to its last object under the service account of the chart', async () => {
  operator.start(CSI_ROLE);
  await plane().apply([storageCluster('files', WITH_CSI)]);
  const ours = 'pureflash.io/cluster=files';
  const counts = { statefulsets: 4, services: 2, configmaps: 1, stores: 3, poddisruptionbudgets: 3, persistentvolumes: 1 };
  const csi = { csidrivers: 1, storageclasses: 1, daemonsets: 2, deployments: 1, ...bindings(1) };
  for (const [what, count] of Object.entries({ ...counts, servicemonitors: 2, ...csi }))
    await waitFor(`${count} ${what}`, PATIENCE_MS, async () => ((await objects(what, ours)).length === count ? true : null));
  await waitFor('a status', PATIENCE_MS, async () => ((await clusterSeen(plane(), 'files'))?.status?.phase ? true : null));
});

test('claims are set up anew for other classes and images, and taken away when they are switched off', async () => {
  const ours = 'pureflash.io/cluster=files';
  const uids = async (what: string): Promise<string> =>
    plane().kubectl('get', what, '-A', '-l', ours, '-o', 'jsonpath={.items[*].metadata.uid}');
  const before = await uids('storageclasses');
  const storageClasses = [{ name: 'pureflash', replicas: 2 }];
  await plane().apply([storageCluster('files', { ...WITH_CSI, storageClasses, csi: { image: 'localhost/other:1' } } as never)]);
  await waitFor('another class', PATIENCE_MS, async () => ![before, ''].includes(await uids('storageclasses')) || null);
  await plane().apply([storageCluster('files', { ...WITH_CSI, storageClasses, csi: { controllers: 1 } } as never)]);
  await waitFor('the other image', PATIENCE_MS, async () => {
    const images = await plane().kubectl('get', 'ds,deploy', '-A', '-o', 'jsonpath={..image}');
    return images.includes('localhost/pureflash-csi:0.1.0') || null;
  });
  // Bindings, accounts, classes and the driver that somebody has changed are put back.
  for (const [what, name] of CHANGED)
    await plane().kubectl('label', what, name, '--overwrite', 'app.kubernetes.io/part-of=else', ...HERE);
  for (const [what, name] of CHANGED)
    await waitFor(`the label of ${what} ${name}`, PATIENCE_MS, async () => {
      const label = 'jsonpath={.metadata.labels.app\\.kubernetes\\.io/part-of}';
      return (await plane().kubectl('get', what, name, '-o', label, ...HERE)) === 'pureflash' || null;
    });
});

test('of two clusters one has the driver', async () => {
  await plane().apply([storageCluster('second', { ...WITH_CSI, csi: {} } as never)]);
  const refused = await waitForCondition(plane(), 'second', 'CsiReady', 'False', PATIENCE_MS, 'DriverTaken');
  assert.match(refused.message, 'belongs to StorageCluster storage/files');
  await plane().kubectl('delete', 'pfcl', 'second', ...HERE, '--wait=false');
});

test('a claim gets its mirror, which goes with the claim', async () => {
  const { endpoints } = (await clusterSeen(plane(), 'files'))!.status!;
  const conductor = await listVolumesAt(endpoints![0]!, ['pvc-1']);
  const spec = {
    ...{ accessModes: ['ReadWriteOnce'], capacity: { storage: '1Gi' }, storageClassName: 'pureflash' },
    csi: { driver: 'csi.pureflash.io', volumeHandle: 'pvc-1' },
    claimRef: { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace: NAMESPACE, name: 'data', uid: 'claim-1' },
  };
  const volume = { apiVersion: 'v1', kind: 'PersistentVolume', metadata: { name: 'pvc-1' }, spec };
  const phaseOf = async (): Promise<string | undefined> =>
    ((await plane().find('pfv/data', ...HERE)) as { status?: { phase: string } } | null)?.status?.phase;
  try {
    await plane().apply([volume]);
    await plane().kubectl('patch', 'pv', 'pvc-1', '--subresource=status', '--type=merge', '-p', '{"status":{"phase":"Bound"}}');
    await waitFor('the mirror', PATIENCE_MS, async () => (await phaseOf()) === 'Ready' || null);
    await plane().kubectl('delete', 'pv', 'pvc-1', '--wait=false');
    await plane()
      .kubectl('patch', 'pv', 'pvc-1', '--type=merge', '-p', '{"metadata":{"finalizers":null}}')
      .catch(() => '');
    await waitFor('the mirror to go', PATIENCE_MS, async () => (await plane().find('pfv/data', ...HERE)) === null || null);
  } finally {
    conductor.closeAllConnections();
    conductor.close();
  }
});

test('it looks at devices, and looks again for another choice', async () => {
  const looks = (): Promise<readonly string[]> => objects('pods', 'app.kubernetes.io/component=discovery');
  const choose = (devices: object): Promise<string> =>
    plane().apply([storageCluster('devices', { ...specOnFiles(), stores: { devices } } as never)]);
  await choose({ allUnused: true });
  const first = await waitFor('three looks', PATIENCE_MS, async () => ((await looks()).length === 3 ? looks() : null));
  await choose({ paths: ['/dev/nvme0n1'] });
  await waitFor('three other looks', PATIENCE_MS, async () => {
    const now = await looks();
    return now.length === 3 && !now.some((pod) => first.includes(pod)) ? true : null;
  });
});

test('what is not wanted any more goes, and so does a cluster', async () => {
  const labels = {
    'app.kubernetes.io/name': 'pureflash',
    'app.kubernetes.io/instance': 'files',
    'app.kubernetes.io/managed-by': 'pureflash-operator',
    'pureflash.io/cluster': 'files',
  };
  const budget = { apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', metadata: meta('left-over', labels) };
  const claim = {
    ...{ apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: meta('state-files-conductor-0', labels) },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, storageClassName: '' },
  };
  await plane().apply([{ ...budget, spec: { maxUnavailable: 1, selector: { matchLabels: { a: 'b' } } } }, claim]);
  await plane().apply([storageCluster('files', specOnFiles({ monitoring: { serviceMonitor: false } }))]);
  const ours = 'pureflash.io/cluster=files';
  await waitFor('monitors to go', PATIENCE_MS, async () => ((await objects('servicemonitors', ours)).length === 0 ? true : null));
  for (const [what, count] of Object.entries({ csidrivers: 0, storageclasses: 0, daemonsets: 0, deployments: 0, ...bindings(0) }))
    await waitFor(`no ${what}`, PATIENCE_MS, async () => ((await objects(what, ours)).length === count ? true : null));
  await waitFor('the budget to go', PATIENCE_MS, async () => ((await objects('pdb', ours)).length === 3 ? true : null));
  await plane().kubectl('delete', 'pfcl', 'files', ...HERE, '--wait=false');
  await waitFor('the cluster to go', PATIENCE_MS, async () => ((await clusterSeen(plane(), 'files')) === null ? true : null));
});

test('it runs servers of the external engine, with and without policies', async () => {
  const servers = { metadataEngine: 'external', zookeeper: { managed: {} }, mariadb: { managed: {} } };
  const ours = 'pureflash.io/cluster=servers';
  for (const networkPolicies of [true, false]) {
    await plane().apply([storageCluster('servers', specOnFiles({ ...servers, security: { networkPolicies } }))]);
    const counts = { networkpolicies: networkPolicies ? 2 : 0, statefulsets: 2, secrets: 2 };
    for (const [what, count] of Object.entries(counts))
      await waitFor(`${count} ${what}`, PATIENCE_MS, async () => ((await objects(what, ours)).length === count ? true : null));
  }
});

test('it answers for a Volume', async () => {
  const volume = { apiVersion: API_VERSION, kind: 'Volume', metadata: meta('v1', {}) };
  await plane().apply([{ ...volume, spec: { clusterName: 'devices', size: '1Gi' } }]);
  await waitFor('its status', PATIENCE_MS, async () => {
    const seen = (await plane().find('pfv/v1', ...HERE)) as { status?: { phase: string }; metadata: { finalizers?: string[] } };
    return seen.metadata.finalizers?.length === 1 && seen.status !== undefined ? true : null;
  });
});

test('nothing was refused', () => {
  assert.equal([...audit.refused(USER)], []);
  assert.not.match(readFileSync(operator.logPath, 'utf8'), /PERMISSION_DENIED|forbidden/i);
});

/** Granted, and not to be seen in an audit log: why. */
const UNSEEN: Readonly<Record<string, string>> = {
  'update pureflash.io/storageclusters/finalizers': 'held against an owner reference; taken away below',
  'patch events.k8s.io/events': 'for an event that repeats after a while',
  'bind rbac.authorization.k8s.io/clusterroles': 'held against a binding',
};

test('every verb that the chart grants was used', async () => {
  await operator.stop(); // Frees the Lease.
  const lease = (await plane().find('role/pf-operator-election', ...HERE)) as Role;
  const granted = [...wholeRole.rules, ...lease.rules].flatMap((rule) =>
    rule.apiGroups.flatMap((group) => rule.resources.flatMap((what) => rule.verbs.map((verb) => rightOf(verb, group, what)))),
  );
  const used = audit.allowed(USER);
  const idle = granted.filter((right) => !used.has(right) && UNSEEN[right] === undefined);
  assert.equal(idle, []);
});

/** Taken away: what does not come, and what the server refuses. */
const LOSSES = [
  { verb: 'watch', group: '', resource: 'nodes', refused: 'watch /nodes' },
  { verb: 'create', group: '', resource: 'persistentvolumes', refused: 'create /persistentvolumes' },
  { verb: 'create', group: 'apps', resource: 'statefulsets', refused: 'patch apps/statefulsets' },
  {
    verb: 'patch',
    group: 'pureflash.io',
    resource: 'storageclusters/status',
    refused: 'patch pureflash.io/storageclusters/status',
  },
  { verb: 'update', group: 'pureflash.io', resource: 'storageclusters/finalizers', refused: 'create /secrets' },
] as const;

for (const [index, { verb, group, resource, refused }] of LOSSES.entries()) {
  test(`without the right to ${verb} ${resource} it is refused, and says so`, async () => {
    const name = `loss-${index}`;
    await setRules(rulesWithout(verb, group, resource));
    audit.forget();
    writeFileSync(operator.logPath, '');
    operator.start(CSI_ROLE);
    await plane().apply([storageCluster(name, specOnFiles())]);
    await waitFor(`the refusal of "${refused}"`, PATIENCE_MS, () => Promise.resolve(audit.refused(USER).has(refused) || null));
    await waitFor('a line in the log', PATIENCE_MS, async () => {
      const log = readFileSync(operator.logPath, 'utf8');
      return /forbidden|cannot set blockOwnerDeletion/.test(log) ? true : null;
    });
    await operator.stop();
    await setRules(wholeRole.rules);
  });
}

function rulesWithout(verb: string, group: string, resource: string): readonly Rule[] {
  return wholeRole.rules.flatMap((rule) => {
    if (!rule.apiGroups.includes(group) || !rule.resources.includes(resource)) return [rule];
    const others = rule.resources.filter((each) => each !== resource);
    const narrowed = { ...rule, resources: [resource], verbs: rule.verbs.filter((each) => each !== verb) };
    return [...(others.length > 0 ? [{ ...rule, resources: others }] : []), ...(narrowed.verbs.length > 0 ? [narrowed] : [])];
  });
}

async function setRules(rules: readonly Rule[]): Promise<void> {
  const patch = JSON.stringify([{ op: 'replace', path: '/rules', value: rules }]);
  await plane().kubectl('patch', 'clusterrole', `${NAMESPACE}:pf-operator`, '--type=json', '-p', patch);
}

/** As `kubectl create token` gives it to anybody who may. */
async function kubeconfigOfAccount(): Promise<string> {
  const token = (await plane().kubectl('create', 'token', 'pf-operator', ...HERE)).trim();
  const authority = Buffer.from(plane().adminClientCertificates.authority).toString('base64');
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'rig', cluster: { server: plane().url, 'certificate-authority-data': authority } }],
    users: [{ name: 'operator', user: { token } }],
    contexts: [{ name: 'rig', context: { cluster: 'rig', user: 'operator' } }],
    'current-context': 'rig',
  };
  const file = join(folder, 'kubeconfig');
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
  return file;
}

async function addNode(number: number): Promise<void> {
  const name = `node-${number}`;
  const node = { apiVersion: 'v1', kind: 'Node', metadata: { name, labels: { 'kubernetes.io/hostname': name } } };
  await plane().apply([node]);
  const status = {
    addresses: [{ type: 'InternalIP', address: `${plane().place.subnet}.1.${number}` }],
    conditions: [{ type: 'Ready', status: 'True' }],
  };
  await plane().kubectl('patch', 'node', name, '--subresource=status', '--type=merge', '-p', JSON.stringify({ status }));
}

const meta = (name: string, labels: Readonly<Record<string, string>>) => ({ name, namespace: NAMESPACE, labels });

/** As much of the Prometheus operator's kind as it takes to be asked for. */
const SERVICE_MONITORS = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'servicemonitors.monitoring.coreos.com' },
  spec: {
    group: 'monitoring.coreos.com',
    scope: 'Namespaced',
    names: { kind: 'ServiceMonitor', plural: 'servicemonitors' },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
      },
    ],
  },
};

test.run();
