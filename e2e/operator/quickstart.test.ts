// deadline: 120s
// The quickstart without Kubernetes: the same file, as it is, becomes a cluster of processes. With Kubernetes: chart-node.test.ts.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { check, KINDS } from '@pureflash/operator/api';
import { outputOf } from '../interop/tool.ts';
import { waitFor } from '../local/wait-for.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const EXAMPLES = join(ROOT, 'e2e/examples');
const PUREFLASH = join(ROOT, 'operator/bin/pureflash');
// Short: sockets lie in it. A subnet of its own: other tests have clusters too.
const folder = mkdtempSync(join(tmpdir(), 'pf-q-'));
const SUBNET = `127.${64 + (process.pid % 128)}.${(process.pid >> 7) % 256}`;
let up: ChildProcess | null = null;

test.after(async () => {
  if (up !== null && up.exitCode === null) {
    const ended = new Promise((done) => up!.once('exit', done));
    up.kill('SIGINT');
    await ended;
  }
  rmSync(folder, { recursive: true, force: true });
});

test('the examples are what the schema wants', () => {
  for (const [file, kind] of [
    ['quickstart.yaml', 'StorageCluster'],
    ['volume.yaml', 'Volume'],
  ] as const) {
    const documents = parseAllDocuments(readFileSync(join(EXAMPLES, file), 'utf8'));
    assert.is(documents.length, 1);
    const resource = documents[0]!.toJS() as { kind: string; spec: never };
    assert.is(resource.kind, kind);
    assert.equal(check(KINDS.find((each) => each.kind === kind)!.spec, resource.spec, 'spec').problems, []);
  }
});

test('`pureflash up` makes a cluster of the quickstart', async () => {
  const flags = ['up', '-f', join(EXAMPLES, 'quickstart.yaml'), '--data', folder, '--subnet', SUBNET];
  up = spawn(PUREFLASH, flags, { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  up.stdout!.on('data', (piece: Buffer) => (said += piece.toString()));
  await waitFor('the cluster to be ready', 60_000, () =>
    Promise.resolve(/Ready: conductors and stores are online[^]*PUREFLASH_CONDUCTOR=\S+\n/.test(said) || null),
  );
  const [, conductor] = /PUREFLASH_CONDUCTOR=(\S+)/.exec(said)!;
  const stores = JSON.parse(await outputOf(join(ROOT, 'datapath/bin/pfcli'), 'list_store', '--json', '-c', conductor!));
  assert.is((stores as unknown[]).length, 3);
});

test.run();
