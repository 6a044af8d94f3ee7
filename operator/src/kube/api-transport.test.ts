// The transport against a peer that misbehaves as told: what a real API server does not do on request.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTcpServer, type AddressInfo, type Server as TcpServer, type Socket } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PfError } from '@pureflash/datapath/base';
import { openNodeWorld } from '@pureflash/datapath/world';
import { QuietLog } from '../runtime/testing/quiet-log.ts';
import type { ApiError } from './api-error.ts';
import { ApiTransport } from './api-transport.ts';
import type { ApiLocation } from './credentials.ts';
import { HttpsKubeClient } from './https-client.ts';

const test = suite('transport');
const log = new QuietLog();
const world = await openNodeWorld({ ports: 'libuv', memoryBytes: 4 << 20, log });
const opened: (Server | TcpServer)[] = [];
const sockets = new Set<Socket>();

test.after.each(() => {
  for (const socket of sockets) socket.destroy();
  for (const server of opened.splice(0)) server.close();
});
test.after(() => world.close());

async function listen(server: Server | TcpServer): Promise<ApiLocation> {
  opened.push(server);
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { url: new URL(`http://127.0.0.1:${port}`), namespace: 'default', read: async () => ({ headers: {} }) };
}

const serve = (handle: (request: IncomingMessage, response: ServerResponse) => void): Promise<ApiLocation> =>
  listen(createServer(handle));

function call(target = '/x', timeoutMs = 5_000) {
  return { method: 'GET', target, action: 'get x', timeoutMs } as const;
}

async function failure(work: Promise<unknown>): Promise<ApiError> {
  const error: unknown = await work.then(
    () => new Error('it should have failed'),
    (reason: unknown) => reason,
  );
  assert.instance(error, PfError, String(error));
  return error as ApiError;
}

const discovery = JSON.stringify({ resources: [{ name: 'configmaps', kind: 'ConfigMap', namespaced: true }] });

/** A client that knows ConfigMaps; everything but discovery is the test's. */
async function clientOn(handle: (request: IncomingMessage, response: ServerResponse) => void): Promise<HttpsKubeClient> {
  const location = await serve((request, response) => {
    if (request.url === '/api/v1') response.end(discovery);
    else handle(request, response);
  });
  return new HttpsKubeClient({ location, clock: world.clock, log });
}

const watchOptions = { resourceVersion: '1', timeoutSeconds: 300, inactivityMs: 5_000 };

test('nobody listens: UNAVAILABLE, at once', async () => {
  const location = await serve(() => {});
  opened.pop()!.close();
  const transport = new ApiTransport(location, world.clock);
  const error = await failure(transport.request(call()));
  assert.is(error.code, 'UNAVAILABLE');
  assert.match(error.message, 'cannot get x: the API server is not there (ECONNREFUSED)');
  transport.close();
});

test('a peer that takes the request and says nothing costs one deadline: TIMEOUT, and its connection is dropped', async () => {
  const location = await serve(() => {});
  const transport = new ApiTransport(location, world.clock);
  const startedAt = performance.now();
  const error = await failure(transport.request(call('/x', 150)));
  assert.is(error.code, 'TIMEOUT');
  assert.ok(performance.now() - startedAt < 2_000);
  transport.close();
});

test('an answer that breaks off is CONNECTION_LOST; one that never ends runs into the deadline', async () => {
  const location = await serve((request, response) => {
    response.writeHead(200, { 'content-length': '100' });
    response.write('{"half":');
    if (request.url === '/cut') setImmediate(() => response.destroy());
  });
  const transport = new ApiTransport(location, world.clock);
  assert.is((await failure(transport.request(call('/cut')))).code, 'CONNECTION_LOST');
  assert.is((await failure(transport.request(call('/hang', 150)))).code, 'TIMEOUT');
  transport.close();
});

test('a kept connection that the server closed meanwhile is tried again on a new one, for all but POST', async () => {
  let requests = 0;
  const location = await serve((request, response) => {
    requests += 1;
    if (request.url === '/then-close') response.on('finish', () => request.socket.resetAndDestroy());
    response.end('{}');
  });
  const transport = new ApiTransport(location, world.clock);
  for (let round = 0; round < 20; round += 1) {
    await transport.request(call('/then-close')).catch(() => {}); // The reset may overtake its own answer.
    assert.is((await transport.request(call('/x'))).status, 200);
  }
  assert.ok(requests >= 40);
  transport.close();
});

test("the caller's signal and close() end a request with their reasons", async () => {
  const location = await serve(() => {});
  const transport = new ApiTransport(location, world.clock);
  const abort = new AbortController();
  const aborted = failure(transport.request({ ...call(), signal: abort.signal }));
  abort.abort(new PfError('FENCED', 'not the leader'));
  assert.is((await aborted).code, 'FENCED');
  const closed = failure(transport.request(call()));
  transport.close();
  assert.is((await closed).code, 'CANCELLED');
  assert.is((await failure(transport.request(call()))).code, 'CANCELLED');
});

test('429 and 503 are UNAVAILABLE with the pause that was asked for; a page of a proxy is shown', async () => {
  const client = await clientOn((request, response) => {
    if (request.url?.endsWith('/busy'))
      response.writeHead(429, { 'retry-after': '7' }).end('{"kind":"Status","message":"too many"}');
    else response.writeHead(503, { 'content-type': 'text/html' }).end('<h1>Bad day</h1>');
  });
  const ref = { apiVersion: 'v1', kind: 'ConfigMap', namespace: 'ns', name: 'busy' };
  const busy = await failure(client.get(ref));
  assert.equal([busy.code, busy.httpStatus, busy.retryAfterMs], ['UNAVAILABLE', 429, 7_000]);
  assert.match(busy.message, 'cannot get v1 ConfigMap ns/busy: too many');
  const page = await failure(client.get({ ...ref, name: 'page' }));
  assert.equal([page.code, page.retryAfterMs], ['UNAVAILABLE', undefined]);
  assert.match(page.message, '<h1>Bad day</h1>');
  client.close();
});

test('a missing object is null; a kind that is no longer served is UNSUPPORTED, and asked for again', async () => {
  let discoveries = 0;
  const location = await serve((request, response) => {
    if (request.url === '/api/v1') {
      discoveries += 1;
      response.end(discovery);
    } else if (request.url?.endsWith('/absent') === true) {
      response.writeHead(404).end('{"kind":"Status","reason":"NotFound","message":"configmaps \\"absent\\" not found"}');
    } else {
      response.writeHead(404).end('404 page not found\n');
    }
  });
  const client = new HttpsKubeClient({ location, clock: world.clock, log });
  const ref = { apiVersion: 'v1', kind: 'ConfigMap', namespace: 'ns', name: 'absent' };
  assert.is(await client.get(ref), null);
  assert.is(await client.delete(ref), false);
  assert.is(discoveries, 1);
  assert.is((await failure(client.get({ ...ref, name: 'other' }))).code, 'UNSUPPORTED');
  assert.is((await failure(client.delete({ ...ref, name: 'other' }))).code, 'UNSUPPORTED');
  assert.is(discoveries, 2);
  client.close();
});

test('a half-open watch is noticed; bytes keep it alive', async () => {
  const client = await clientOn((_request, response) => {
    response.writeHead(200);
    let bookmarks = 0;
    const timer = setInterval(() => {
      bookmarks += 1;
      if (bookmarks > 6) clearInterval(timer);
      else response.write(`{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"${bookmarks}"}}}\n`);
    }, 100);
  });
  let seen = 0;
  const startedAt = performance.now();
  const options = { ...watchOptions, inactivityMs: 300 };
  const error = await failure(client.watch('v1', 'ConfigMap', options, () => (seen += 1)));
  assert.is(error.code, 'TIMEOUT');
  assert.is(seen, 6);
  assert.ok(performance.now() - startedAt >= 800);
  client.close();
});

test('a watch: events cut anywhere arrive, a cut connection is CONNECTION_LOST, 410 inside and outside is expired', async () => {
  const event = `{"type":"ADDED","object":{"metadata":{"name":"zwölf","namespace":"ns","resourceVersion":"5"}}}\n`;
  const bytes = Buffer.from(event);
  let mode = 'cut';
  const client = await clientOn((_request, response) => {
    if (mode === 'refused') {
      response.writeHead(410).end('{"kind":"Status","reason":"Expired","message":"too old resource version","code":410}');
      return;
    }
    response.writeHead(200);
    response.write(bytes.subarray(0, 50));
    setTimeout(() => {
      response.write(bytes.subarray(50));
      if (mode === 'error')
        response.end('{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}\n');
      else if (mode === 'garbage') response.end('<html>\n');
      else if (mode === 'clean') response.end();
      else setTimeout(() => response.destroy(), 20);
    }, 20);
  });
  const names: string[] = [];
  const watch = (): Promise<void> =>
    client.watch('v1', 'ConfigMap', watchOptions, (seen) => {
      if (seen.type !== 'BOOKMARK') names.push(`${seen.object.kind} ${seen.object.metadata.name}`);
    });
  assert.is((await failure(watch())).code, 'CONNECTION_LOST');
  mode = 'error';
  assert.ok((await failure(watch())).isExpired);
  mode = 'garbage';
  assert.is((await failure(watch())).code, 'PROTOCOL_ERROR');
  mode = 'clean';
  await watch();
  mode = 'refused';
  assert.ok((await failure(watch())).isExpired);
  assert.equal(
    names,
    Array.from({ length: 4 }, () => 'ConfigMap zwölf'),
  );
  client.close();
});

test('a list whose continuation expired is read again in one piece', async () => {
  const targets: string[] = [];
  const item = (name: string) => ({ metadata: { name, namespace: 'ns', resourceVersion: '1' } });
  const client = await clientOn((request, response) => {
    targets.push(request.url!);
    if (request.url!.includes('continue=')) response.writeHead(410).end('{"reason":"Expired","message":"too old"}');
    else if (request.url!.includes('limit='))
      response.end(JSON.stringify({ metadata: { resourceVersion: '1', continue: 'next' }, items: [item('a')] }));
    else response.end(JSON.stringify({ metadata: { resourceVersion: '2' }, items: [item('a'), item('b')] }));
  });
  const list = await client.list('v1', 'ConfigMap', { namespace: 'ns' });
  assert.equal([list.items.length, list.resourceVersion], [2, '2']);
  assert.equal(targets, [
    '/api/v1/namespaces/ns/configmaps?limit=500',
    '/api/v1/namespaces/ns/configmaps?limit=500&continue=next',
    '/api/v1/namespaces/ns/configmaps',
  ]);
  client.close();
});

test('bytes that are no HTTP are CONNECTION_LOST, not a crash', async () => {
  const location = await listen(createTcpServer((socket) => socket.end('SSH-2.0-OpenSSH\r\n')));
  const transport = new ApiTransport(location, world.clock);
  assert.is((await failure(transport.request(call()))).code, 'CONNECTION_LOST');
  transport.close();
});

test('warnings of the server are logged once', async () => {
  const client = await clientOn((_request, response) => {
    response.setHeader('warning', '299 - "unknown field \\"dta\\"", 299 - "v1beta1 is deprecated"');
    response.end('{"metadata":{"name":"a"}}');
  });
  const ref = { apiVersion: 'v1', kind: 'ConfigMap', namespace: 'ns', name: 'a' };
  await client.get(ref);
  await client.get(ref);
  const said = log.lines.filter((line) => line.includes('the API server warns'));
  assert.equal(said, ['warn the API server warns: unknown field \\"dta\\"', 'warn the API server warns: v1beta1 is deprecated']);
  client.close();
});

test.run();
