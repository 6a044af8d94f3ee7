// deadline: 240s
// needs: kube openssl setpriv
// The CRDs in a real API server: it takes them, fills in our defaults, and refuses every bad manifest with the words that we wrote.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { API_VERSION, check, KINDS } from '@pureflash/operator/api';
import type { JsonObject } from '@pureflash/datapath/base';
import { useControlPlane } from '../kube/suite.ts';
import {
  BAD_MANIFESTS,
  BAD_NAMES,
  baseOf,
  EXTERNAL,
  GOOD,
  GOOD_NAMES,
  merged,
  NAME_REFUSAL,
  type BadManifest,
} from './bad-manifests.ts';

const CRDS = resolve(import.meta.dirname, '../../crds');
const plane = useControlPlane(test);
const folder = mkdtempSync(join(tmpdir(), 'pureflash-crds-'));
const file = join(folder, 'manifest.json');

test.before(async () => {
  for (const file of readdirSync(CRDS)) await plane().apply(readFileSync(join(CRDS, file), 'utf8'));
  for (const kind of KINDS)
    await plane().kubectl('wait', '--for=condition=Established', `crd/${kind.plural}.pureflash.io`, '--timeout=30s');
});

test.after(() => rmSync(folder, { recursive: true, force: true }));

const manifestOf = (kind: BadManifest['kind'], name: string, spec: JsonObject): JsonObject => ({
  apiVersion: API_VERSION,
  kind,
  metadata: { name, namespace: 'default' },
  spec,
});

test('the API server fills in the defaults that we fill in', async () => {
  for (const [kind, spec] of Object.entries(GOOD) as [BadManifest['kind'], JsonObject][]) {
    await plane().apply([manifestOf(kind, 'good', spec)]);
    const stored = JSON.parse(await plane().kubectl('get', kind, 'good', '-o', 'json')) as { spec: JsonObject };
    const { value } = check(KINDS.find((each) => each.kind === kind)!.spec, spec, 'spec');
    assert.equal(stored.spec, value);
  }
});

/** What the server says against it, or "accepted". Nothing is kept. */
function answerTo(manifest: JsonObject, verb: 'create' | 'replace'): Promise<string> {
  writeFileSync(file, JSON.stringify(manifest));
  const said = plane().kubectl(verb, '--dry-run=server', '-f', file);
  return said.then(
    () => 'accepted',
    (error: unknown) => String((error as { stderr?: string }).stderr ?? error),
  );
}

test('a cluster with the external engine is taken', async () => {
  await plane().apply([manifestOf('StorageCluster', 'external', EXTERNAL)]);
  const stored = JSON.parse(await plane().kubectl('get', 'pfcl', 'external', '-o', 'json')) as { spec: JsonObject };
  assert.equal(stored.spec, check(KINDS[0]!.spec, EXTERNAL, 'spec').value);
});

for (const row of BAD_MANIFESTS) {
  const { kind, what, patch, expected, isChange, from } = row;
  test(`${kind}: ${what}`, async () => {
    const name = isChange !== true ? 'bad' : from === 'External' ? 'external' : 'good';
    const manifest = manifestOf(kind, name, merged(baseOf(row), patch) as JsonObject);
    const refusal = await answerTo(manifest, isChange === true ? 'replace' : 'create');
    assert.match(refusal, expected, refusal);
  });
}

test('a name has to make labels and names of DNS', async () => {
  const ofName = (name: string): Promise<string> => answerTo(manifestOf('StorageCluster', name, GOOD.StorageCluster), 'create');
  for (const name of BAD_NAMES) assert.match(await ofName(name), NAME_REFUSAL, name);
  for (const name of GOOD_NAMES) assert.is(await ofName(name), 'accepted');
});

test('people see what they look for: columns, short names, scale', async () => {
  const table = await plane().kubectl('get', 'pfcl', '-o', 'wide');
  assert.match(table, /NAME\s+PHASE\s+READY\s+STORES\s+WANTED\s+CONDUCTORS\s+REASON\s+IMAGE\s+AGE/);
  assert.match(await plane().kubectl('get', 'pfv'), /NAME\s+CLUSTER\s+SIZE\s+REPLICAS\s+PHASE\s+ATTACHED\s+AGE/);
  await plane().kubectl('scale', 'pfcl/good', '--replicas=3');
  assert.is(await plane().kubectl('get', 'pfcl', 'good', '-o', 'jsonpath={.spec.conductors.count}'), '3');
});

test.run();
