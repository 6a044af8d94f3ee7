// The Kubernetes client against a real API server: what it writes, what it is refused and with which error, and what it leaves alone.
// deadline: 180s
// needs: kube openssl setpriv
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PfError } from '@pureflash/datapath/base';
import { openNodeWorld } from '@pureflash/datapath/world';
import { silentLogger } from '../../datapath/src/world/log.ts';
import { refOf, type KubeObject, type ObjectRef } from '../../operator/src/api/objects.ts';
import type { ApiError } from '../../operator/src/kube/api-error.ts';
import { HttpsKubeClient } from '../../operator/src/kube/https-client.ts';
import { openKube, type KubeWorld } from '../../operator/src/kube/kube-world.ts';
import { kubeconfigLocation } from '../../operator/src/kube/kubeconfig.ts';
import { useControlPlane } from '../kube/suite.ts';
import { sayWhy } from '../local/say-why.ts';

const test = suite('the Kubernetes client');
const plane = useControlPlane(test);
const world = await openNodeWorld({ ports: 'libuv', memoryBytes: 4 << 20, log: silentLogger });
let kube: KubeWorld;

test.before(
  sayWhy(async () => {
    kube = await openKube(world, { kubeconfig: plane().kubeconfigPath, fieldValidation: 'Strict' });
  }),
);
test.after(async () => {
  await kube.close();
  await world.close();
});

const configMap = (name: string, data: Record<string, string>): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'default' },
  data,
});

async function refused(work: Promise<unknown>): Promise<ApiError> {
  const error = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  assert.instance(error, PfError, 'it should have been refused');
  return error as ApiError;
}

const crd = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'widgets.example.org' },
  spec: {
    group: 'example.org',
    scope: 'Namespaced',
    names: { plural: 'widgets', singular: 'widget', kind: 'Widget', listKind: 'WidgetList' },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        subresources: { status: {} },
        schema: {
          openAPIV3Schema: {
            type: 'object',
            properties: {
              spec: {
                type: 'object',
                properties: { size: { type: 'integer' } },
                'x-kubernetes-validations': [{ rule: 'self.size < 10', message: 'a widget is smaller than 10' }],
              },
              status: { type: 'object', properties: { phase: { type: 'string' } } },
            },
          },
        },
      },
    ],
  },
};
const widget = (name: string, size: number): KubeObject => ({
  apiVersion: 'example.org/v1',
  kind: 'Widget',
  metadata: { name, namespace: 'default' },
  spec: { size },
});

test('a missing object is null, and deleting it says false', async () => {
  const ref: ObjectRef = { apiVersion: 'v1', kind: 'ConfigMap', namespace: 'default', name: 'absent' };
  assert.is(await kube.client.get(ref), null);
  assert.is(await kube.client.delete(ref), false);
});

test('an unchanged apply writes nothing', async () => {
  const first = await kube.client.apply(configMap('same', { a: '1' }));
  const second = await kube.client.apply(configMap('same', { a: '1' }));
  assert.is(second.metadata.resourceVersion, first.metadata.resourceVersion);
  assert.not('managedFields' in second.metadata);
  const third = await kube.client.apply(configMap('same', { a: '2' }));
  assert.is.not(third.metadata.resourceVersion, first.metadata.resourceVersion);
});

test('apply takes away the fields that it no longer says, and leaves those of others', async () => {
  await kube.client.apply(configMap('owned', { ours: '1', old: '1' }));
  await plane().kubectl('patch', 'configmap/owned', '-n', 'default', '--type=merge', '-p', '{"data":{"theirs":"1","ours":"9"}}');
  const after = await kube.client.apply(configMap('owned', { ours: '2' }));
  assert.equal(after['data'], { ours: '2', theirs: '1' });
});

test('a CRD keeps its CEL rule, its kind is usable at once, and the rule refuses by its own words', async () => {
  assert.not(await kube.client.hasKind('example.org/v1', 'Widget'));
  assert.is((await refused(kube.client.apply(widget('early', 1)))).code, 'UNSUPPORTED');
  await kube.client.apply(crd);
  const deadline = performance.now() + 15_000;
  while (!(await kube.client.hasKind('example.org/v1', 'Widget'))) {
    assert.ok(performance.now() < deadline, 'the new kind should be served by now');
    await world.clock.sleep(100);
  }
  await kube.client.apply(widget('small', 3));
  const error = await refused(kube.client.apply(widget('large', 30)));
  assert.is(error.code, 'INVALID_ARGUMENT');
  assert.match(error.message, 'cannot apply example.org/v1 Widget default/large');
  assert.match(error.message, 'a widget is smaller than 10');
  assert.is(error.causes.length, 1);
  assert.match(error.causes[0]!, /^spec: .*a widget is smaller than 10/);
});

test('applyStatus writes the status only, and nothing when it is the same', async () => {
  const before = (await kube.client.get(refOf(widget('small', 0))))!;
  const first = await kube.client.applyStatus({ ...widget('small', 9), status: { phase: 'Up' } });
  assert.equal(first['status'], { phase: 'Up' });
  assert.equal(first['spec'], { size: 3 });
  assert.is(first.metadata.generation, before.metadata.generation);
  const second = await kube.client.applyStatus({ ...widget('small', 9), status: { phase: 'Up' } });
  assert.is(second.metadata.resourceVersion, first.metadata.resourceVersion);
});

test('fields that the API server does not know are refused where that is asked for', async () => {
  const error = await refused(kube.client.apply({ ...configMap('typo', {}), dta: { a: '1' } }));
  assert.is(error.code, 'INVALID_ARGUMENT', error.message);
  assert.match(error.message, 'dta');
});

test('create refuses what is there; a stale update and a wrong uid are conflicts', async () => {
  const made = await kube.client.create(configMap('once', { a: '1' }));
  assert.is((await refused(kube.client.create(configMap('once', {})))).code, 'ALREADY_EXISTS');
  await kube.client.patch(refOf(made), { data: { a: '2' } });
  const stale = await refused(kube.client.update({ ...made, data: { a: '3' } }));
  assert.is(stale.code, 'STALE');
  assert.match(stale.message, 'the object has been modified');
  const wrong = await refused(kube.client.delete(refOf(made), { uid: '00000000-0000-4000-8000-000000000000' }));
  assert.is(wrong.code, 'STALE');
  const wrongApply = {
    ...configMap('once', { a: '4' }),
    metadata: { ...made.metadata, uid: '00000000-0000-4000-8000-000000000000' },
  };
  assert.is((await refused(kube.client.apply(wrongApply))).code, 'STALE');
  assert.ok(await kube.client.delete(refOf(made), { uid: made.metadata.uid! }));
});

test('a merge patch removes by null; a namespaced kind wants its namespace', async () => {
  await kube.client.apply(configMap('patched', { a: '1', b: '1' }));
  const after = await kube.client.patch(refOf(configMap('patched', {})), { data: { a: null } });
  assert.equal(after['data'], { b: '1' });
  const error = await refused(kube.client.get({ apiVersion: 'v1', kind: 'ConfigMap', name: 'x' }));
  assert.is(error.code, 'INVALID_ARGUMENT');
});

test('a list of 1200 objects is read whole, in pages, and carries kinds', async () => {
  await kube.client.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'many' } });
  const names = Array.from({ length: 1200 }, (_, index) => `item-${String(index).padStart(4, '0')}`);
  for (let from = 0; from < names.length; from += 16) {
    const some = names.slice(from, from + 16);
    await Promise.all(
      some.map((name) =>
        kube.client.create({ ...configMap(name, {}), metadata: { name, namespace: 'many', labels: { some: 'label' } } }),
      ),
    );
  }
  const sentBefore = (kube.client as HttpsKubeClient).requestsSent;
  const { items } = await kube.client.list('v1', 'ConfigMap', { namespace: 'many', labelSelector: 'some=label' });
  assert.is((kube.client as HttpsKubeClient).requestsSent - sentBefore, 3);
  assert.equal(
    items.map((item) => item.metadata.name),
    names,
  );
  assert.is(items[1199]!.kind, 'ConfigMap');
});

/** A client of the service account "robot"; the first `badReads` times it is given a token that is none. */
async function robotClient(badReads: number): Promise<{ client: HttpsKubeClient; reads: () => number }> {
  const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'robot', namespace: 'default' } };
  await kube.client.apply(account);
  const wanted = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', metadata: { name: 'robot' }, spec: {} };
  const answer = await kube.client.createSubresource(refOf(account), 'token', wanted);
  const { token } = (answer as unknown as { readonly status: { readonly token: string } }).status;
  const admin = kubeconfigLocation(plane().kubeconfigPath, undefined);
  let reads = 0;
  const location = {
    ...admin,
    async read() {
      reads += 1;
      return { ca: (await admin.read()).ca!, headers: { authorization: `Bearer ${reads <= badReads ? 'old' : token}` } };
    },
  };
  return { client: new HttpsKubeClient({ location, clock: world.clock, log: silentLogger }), reads: () => reads };
}

test('what a user may not do says the verb and the resource', async () => {
  const { client } = await robotClient(0);
  const error = await refused(client.get({ apiVersion: 'v1', kind: 'Secret', namespace: 'default', name: 'x' }));
  assert.is(error.code, 'PERMISSION_DENIED');
  assert.match(error.message, /cannot get v1 Secret default\/x: .*cannot get resource "secrets".*in the namespace "default"/);
  client.close();
});

test('a token that rotated is read again when the old one is refused; one that stays bad is said', async () => {
  const rotated = await robotClient(1);
  assert.ok(await rotated.client.hasKind('v1', 'Pod'));
  assert.is(rotated.reads(), 2);
  rotated.client.close();
  const bad = await robotClient(100);
  assert.match((await refused(bad.client.list('v1', 'Node'))).message, 'credentials are not accepted');
  bad.client.close();
});

test('two hundred applies: the median, for the record', async () => {
  const times: number[] = [];
  for (let index = 0; index < 200; index += 1) {
    const startedAt = performance.now();
    await kube.client.apply(configMap('timed', { index: String(index) }));
    times.push(performance.now() - startedAt);
  }
  times.sort((left, right) => left - right);
  console.log(`apply: p50 ${times[100]!.toFixed(1)} ms, p99 ${times[198]!.toFixed(1)} ms`);
  assert.ok(times[100]! < 500);
});

test.run();
