// deadline: 240s
// needs: kube openssl setpriv
// The Helm chart against a real API server: what it renders, refuses, installs, changes, and leaves behind.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { KINDS } from '@pureflash/operator/api';
import { sayWhy } from '../local/say-why.ts';
import { waitFor } from '../local/wait-for.ts';
import { useControlPlane } from '../kube/suite.ts';
import { CHART, objectsOf, QUICKSTART, RELEASE, RELEASE_NAMESPACE, render, VOLUME, type Rendered } from './chart-rig.ts';
import { BAD_VALUES } from './chart-values.ts';

const plane = useControlPlane(test, { withControllerManager: true });
const HERE = ['-n', RELEASE_NAMESPACE];
const CLUSTER = [
  ...['--set', 'cluster.enabled=true', '--set', 'cluster.name=beside'],
  ...['--set', 'cluster.spec.stores.devices.allUnused=true'],
];
/** Every branch of every template. */
const EVERYTHING = [
  ...CLUSTER,
  ...['--set', 'registry=registry.example:5000/storage', '--set', `image.digest=sha256:${'0a'.repeat(32)}`],
  ...['--set', 'imagePullSecrets[0].name=mine', '--set', 'watchNamespace=storage', '--set', 'serviceAccount.name=given'],
  ...['--set', 'serviceAccount.annotations.a=b', '--set', 'podAnnotations.a=b', '--set', 'nodeSelector.a=b'],
  ...['--set', 'tolerations[0].operator=Exists', '--set', 'apiServer.cidrs={10.0.0.1/32,fd00::1/128}'],
];

interface Live extends Rendered {
  readonly metadata: Rendered['metadata'] & { readonly uid: string };
  readonly spec: Readonly<Record<string, unknown>>;
}

const refusalOf = (running: Promise<string>): Promise<string> =>
  running.then(
    () => '(it was taken)',
    (error: Error) => error.message,
  );

/** "deployment/x", with -n where it needs one. */
const live = async (...what: string[]): Promise<Live | null> => (await plane().find(...what)) as Live | null;

test.before(
  sayWhy(async () => {
    // As strict as namespaces get: the operator needs nothing more.
    const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
    await plane().apply([
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: RELEASE_NAMESPACE, labels } },
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'storage' } },
    ]);
  }),
);

test('helm lint finds nothing', async () => {
  const said = await plane().helm('lint', '--strict', CHART);
  assert.match(said, '1 chart(s) linted, 0 chart(s) failed');
  assert.not.match(said, /\[(INFO|WARNING|ERROR)\]/);
});

for (const { what, yaml, named } of BAD_VALUES) {
  test(`values refused: ${what}`, async () => {
    const file = join(plane().place.folder, 'values.yaml');
    writeFileSync(file, `${yaml}\n`);
    assert.match(await refusalOf(render(plane(), '-f', file)), named);
  });
}

test('every object has the recommended labels', async () => {
  const objects = objectsOf(await render(plane(), ...EVERYTHING));
  const kinds = new Set(objects.map((object) => object.kind));
  for (const kind of ['CustomResourceDefinition', 'ClusterRole', 'Role', 'Deployment', 'NetworkPolicy', 'StorageCluster'])
    assert.ok(kinds.has(kind), kind);
  for (const { kind, metadata, spec } of objects) {
    const podLabels = (spec as { template?: Rendered } | undefined)?.template?.metadata.labels;
    for (const labels of [metadata.labels, ...(podLabels === undefined ? [] : [podLabels])])
      assert.equal(
        labels,
        {
          'app.kubernetes.io/name': 'pureflash-operator',
          'app.kubernetes.io/instance': 'pf',
          'app.kubernetes.io/component': 'operator',
          'app.kubernetes.io/part-of': 'pureflash',
          'app.kubernetes.io/version': '0.1.0',
          'app.kubernetes.io/managed-by': 'Helm',
          'helm.sh/chart': 'pureflash-0.1.0',
        },
        `${kind} ${metadata.name}`,
      );
  }
});

test('what must outlive the release says so', async () => {
  const kept = objectsOf(await render(plane(), ...EVERYTHING))
    .filter(({ metadata }) => metadata.annotations?.['helm.sh/resource-policy'] === 'keep')
    .map(({ kind, metadata }) => `${kind} ${metadata.name}`);
  assert.equal(kept.sort(), [
    'ClusterRole pureflash:pf-operator-csi',
    'ClusterRole pureflash:pf-operator-csi-leases',
    'CustomResourceDefinition storageclusters.pureflash.io',
    'CustomResourceDefinition stores.pureflash.io',
    'CustomResourceDefinition volumes.pureflash.io',
    'StorageCluster beside',
  ]);
});

test('the CRDs are those of crds/, and can be left out', async () => {
  const rendered = objectsOf(await render(plane())).filter(({ kind }) => kind === 'CustomResourceDefinition');
  assert.is(rendered.length, KINDS.length);
  for (const { metadata, spec } of rendered) {
    const [plural] = metadata.name.split('.');
    const [plain] = objectsOf(readFileSync(join(CHART, `../../crds/pureflash.io_${plural}.yaml`), 'utf8'));
    assert.equal(spec, plain!['spec']);
  }
  const without = objectsOf(await render(plane(), '--set', 'crds.install=false'));
  assert.not.ok(without.some(({ kind }) => kind === 'CustomResourceDefinition'));
});

test('no rule has a wildcard, and names alone open the Lease', async () => {
  for (const flags of [[], ['--set', 'watchNamespace=storage']]) {
    const roles = objectsOf(await render(plane(), ...flags)).filter(({ kind }) => kind === 'ClusterRole' || kind === 'Role');
    assert.ok(roles.length >= 2);
    assert.not.match(JSON.stringify(roles.map((role) => role['rules'])), '*');
  }
});

test('with one namespace to watch, rights of the whole cluster are those on what belongs to no namespace', async () => {
  const objects = objectsOf(await render(plane(), '--set', 'watchNamespace=storage'));
  const isOperators = ({ kind, metadata }: Rendered): boolean => kind === 'ClusterRole' && metadata.name.endsWith(':pf-operator');
  const wide = objects.find(isOperators) as unknown as { rules: { resources: string[] }[] };
  assert.equal(
    wide.rules.flatMap((rule) => rule.resources),
    ['nodes', 'persistentvolumes', 'storageclasses', 'csidrivers', 'clusterrolebindings', 'clusterroles'],
  );
  assert.ok(objects.some(({ kind, metadata }) => kind === 'Role' && metadata.namespace === 'storage'));
});

test('a cluster beside the operator is refused with the way out while its kind is unknown', async () => {
  const said = await refusalOf(plane().helm('install', RELEASE, CHART, ...HERE, ...CLUSTER));
  assert.match(said, 'install with cluster.enabled=false first, then upgrade with true');
});

test('the API server takes what is rendered, with every value set and with none', async () => {
  const file = join(plane().place.folder, 'rendered.yaml');
  const dryRun = async (...flags: string[]): Promise<string> => {
    writeFileSync(file, await render(plane(), ...flags));
    return plane().kubectl('apply', '--server-side', '--dry-run=server', '-f', file);
  };
  assert.match(await dryRun(), 'deployment.apps/pf-operator serverside-applied (server dry run)');
  const crds = objectsOf(await render(plane())).filter(({ kind }) => kind === 'CustomResourceDefinition');
  // For the StorageCluster: the kind alone, not as helm would own it.
  await plane().apply(crds.map((crd) => ({ ...crd, metadata: { name: crd.metadata.name } })));
  for (const kind of KINDS) await plane().kubectl('wait', '--for=condition=Established', `crd/${kind.plural}.pureflash.io`);
  const said = await dryRun(...EVERYTHING);
  assert.match(said, 'networkpolicy.networking.k8s.io/pf-operator serverside-applied (server dry run)');
  assert.match(said, 'storagecluster.pureflash.io/beside serverside-applied (server dry run)');
  for (const kind of KINDS) await plane().kubectl('delete', `crd/${kind.plural}.pureflash.io`);
});

test('an installation brings the operator, and says what comes next', async () => {
  const said = await plane().helm('install', RELEASE, CHART, ...HERE);
  assert.match(said, 'kubectl create namespace storage');
  assert.match(said, 'pod-security.kubernetes.io/enforce=privileged');
  assert.match(said, 'kubectl apply -n storage -f -');
  for (const kind of KINDS) await plane().kubectl('wait', '--for=condition=Established', `crd/${kind.plural}.pureflash.io`);
  await waitFor('two pods, which Pod Security admits', 30_000, async () => {
    const pods = (await plane().kubectl('get', 'pods', ...HERE, '--no-headers')).trim().split('\n');
    return pods.length === 2 ? true : null;
  });
});

test('what the notes and the examples say is taken by the API server', async () => {
  const notes = await plane().helm('get', 'notes', RELEASE, ...HERE);
  const manifest = /<<EOF\n([^]*?)\n {2}EOF/.exec(notes)![1]!.replaceAll(/^ {2}/gm, '');
  const file = join(plane().place.folder, 'notes.yaml');
  writeFileSync(file, manifest);
  for (const each of [file, QUICKSTART, VOLUME])
    await plane().kubectl('apply', '--server-side', '-n', 'storage', '-f', each, ...['--dry-run=server', '--validate=strict']);
});

test('an upgrade changes what its values change, and adds a cluster', async () => {
  await plane().helm('upgrade', RELEASE, CHART, ...HERE, '--set', 'replicas=1', ...CLUSTER);
  assert.is((await live('deployment/pf-operator', ...HERE))!.spec['replicas'], 1);
  const cluster = await live('storagecluster/beside', ...HERE);
  assert.is(cluster!.spec['image'], 'pureflash:0.1.0');
});

test('neither an upgrade without it nor the end of the release takes a cluster or a kind away', async () => {
  await plane().apply([objectsOf(readFileSync(QUICKSTART, 'utf8'))[0]!].map((each) => inNamespace(each, 'storage')));
  const before = await Promise.all([live('storagecluster/beside', ...HERE), live('storagecluster/quickstart', '-n', 'storage')]);
  await plane().helm('upgrade', RELEASE, CHART, ...HERE, '--set', 'cluster.enabled=false');
  assert.is((await live('storagecluster/beside', ...HERE))!.metadata.uid, before[0]!.metadata.uid);
  const said = await plane().helm('uninstall', RELEASE, ...HERE, '--wait');
  assert.match(said, '[CustomResourceDefinition] storageclusters.pureflash.io');
  assert.is(await live('deployment/pf-operator', ...HERE), null);
  assert.is(await live('clusterrole/pureflash:pf-operator'), null);
  const after = await Promise.all([live('storagecluster/beside', ...HERE), live('storagecluster/quickstart', '-n', 'storage')]);
  assert.equal(
    after.map((each) => each!.metadata.uid),
    before.map((each) => each!.metadata.uid),
  );
});

test('the same release comes back to what it left', async () => {
  const before = await live('storagecluster/beside', ...HERE);
  await plane().helm('install', RELEASE, CHART, ...HERE, ...CLUSTER);
  assert.is((await live('storagecluster/beside', ...HERE))!.metadata.uid, before!.metadata.uid);
});

test('a release of another name has to say that it takes over', async () => {
  await plane().helm('uninstall', RELEASE, ...HERE);
  const flags = ['install', 'other', CHART, ...HERE];
  assert.match(await refusalOf(plane().helm(...flags)), 'invalid ownership metadata');
  await plane().helm(...flags, '--take-ownership');
});

const inNamespace = (object: Rendered, namespace: string): Rendered => ({
  ...object,
  metadata: { ...object.metadata, namespace },
});

test.run();
