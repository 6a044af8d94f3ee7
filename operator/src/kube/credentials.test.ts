import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { PfError } from '@pureflash/datapath/base';
import { locateApi, podLocation } from './credentials.ts';

const folder = mkdtempSync(join(tmpdir(), 'pureflash-credentials-'));
test.after(() => rmSync(folder, { recursive: true }));

async function codeOf(work: Promise<unknown>): Promise<string> {
  return await work.then(
    () => 'nothing',
    (error: unknown) => (error as PfError).code,
  );
}

test('in a pod: the token is read each time, so a rotated one is seen', async () => {
  writeFileSync(join(folder, 'token'), 'first\n');
  writeFileSync(join(folder, 'ca.crt'), 'PEM');
  writeFileSync(join(folder, 'namespace'), 'storage\n');
  const location = await podLocation({ KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '6443' }, folder);
  assert.is(location.url.href, 'https://[fd00::1]:6443/');
  assert.is(location.namespace, 'storage');
  assert.equal((await location.read()).headers, { authorization: 'Bearer first' });
  writeFileSync(join(folder, 'token'), 'second');
  assert.equal((await location.read()).headers, { authorization: 'Bearer second' });
  rmSync(join(folder, 'token'));
  assert.is(await codeOf(location.read()), 'PERMISSION_DENIED');
});

test('no pod, and kubeconfigs that do not do', async () => {
  assert.is(await codeOf(podLocation({}, folder)), 'NOT_FOUND');
  assert.is(await codeOf(locateApi({ kubeconfig: join(folder, 'absent') })), 'INVALID_ARGUMENT');
  writeFileSync(join(folder, 'empty'), 'apiVersion: v1\nkind: Config\n');
  assert.is(await codeOf(locateApi({ kubeconfig: join(folder, 'empty') })), 'INVALID_ARGUMENT');
});

test('a kubeconfig with a token, a context and certificates', async () => {
  const pem = Buffer.from('PEM').toString('base64');
  const path = join(folder, 'config');
  writeFileSync(
    path,
    `apiVersion: v1
kind: Config
current-context: main
clusters:
- {name: c, cluster: {server: "https://10.0.0.1:6443", certificate-authority-data: ${pem}, tls-server-name: api}}
users:
- {name: token, user: {token: secret}}
- {name: pair, user: {client-certificate-data: ${pem}, client-key-data: ${pem}}}
contexts:
- {name: main, context: {cluster: c, user: token, namespace: storage}}
- {name: other, context: {cluster: c, user: pair}}
`,
  );
  const main = await locateApi({ kubeconfig: path });
  assert.equal([main.url.href, main.namespace], ['https://10.0.0.1:6443/', 'storage']);
  const { headers, ca, serverName } = await main.read();
  assert.equal([headers, String(ca), serverName], [{ authorization: 'Bearer secret' }, 'PEM', 'api']);
  const other = await locateApi({ kubeconfig: path, context: 'other' });
  assert.is(other.namespace, 'default');
  const pair = await other.read();
  assert.equal([pair.headers, String(pair.cert), String(pair.key)], [{}, 'PEM', 'PEM']);
});

test.run();
