// What only a real HTTP server meets: requests and headers that are not what they should be.
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { HttpResponse } from '../http.ts';
import { NodeHttp } from './node-http.ts';

const plain = (headers: Record<string, string> = {}): HttpResponse => ({
  status: 200,
  contentType: 'text/plain',
  body: new Uint8Array(0),
  headers,
});

async function say(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.write(text);
  let answer = '';
  socket.on('data', (bytes) => (answer += String(bytes)));
  await once(socket, 'close');
  return answer.split('\r\n')[0]!;
}

test('an answer with a header that is none becomes 500, and the server goes on', async () => {
  const http = new NodeHttp();
  const server = await http.serve('127.0.0.1', 0, async ({ path }) => plain(path === '/broken' ? { 'x-broken': 'a\nb' } : {}));
  const call = { method: 'GET', host: '127.0.0.1', port: server.port, timeoutMs: 2000 } as const;
  assert.is((await http.request({ ...call, target: '/broken' })).status, 500);
  assert.is((await http.request({ ...call, target: '/' })).status, 200);
  await http.close();
});

test('requests that are none are answered with 400', async () => {
  const http = new NodeHttp();
  const server = await http.serve('127.0.0.1', 0, async () => plain());
  assert.is(await say(server.port, 'GET /%zz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'), 'HTTP/1.1 400 Bad Request');
  assert.is(await say(server.port, 'not http at all\r\n\r\n'), 'HTTP/1.1 400 Bad Request');
  await http.close();
});

test('a peer that leaves in the middle of its request or before its answer disturbs nobody', async () => {
  const http = new NodeHttp();
  let release = (): void => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  let handled = 0;
  const server = await http.serve('127.0.0.1', 0, async ({ path }) => {
    if (path === '/held') await held;
    handled += 1;
    return plain();
  });
  const half = connect(server.port, '127.0.0.1');
  half.write('POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf');
  const impatient = connect(server.port, '127.0.0.1');
  impatient.write('GET /held HTTP/1.1\r\nhost: x\r\n\r\n');
  await once(impatient, 'connect');
  const call = { method: 'GET', host: '127.0.0.1', port: server.port, timeoutMs: 2000, target: '/' } as const;
  assert.is((await http.request(call)).status, 200);
  half.destroy();
  impatient.destroy();
  release();
  assert.is((await http.request(call)).status, 200);
  assert.ok(handled >= 2);
  await http.close();
});

test('an answer that is not HTTP is PROTOCOL_ERROR', async () => {
  const server = createServer((socket) => socket.end('220 mail.example ESMTP\r\n')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const http = new NodeHttp();
  const port = (server.address() as { port: number }).port;
  const failure = await http
    .request({ method: 'GET', host: '127.0.0.1', port, target: '/', timeoutMs: 2000 })
    .catch((error: { code: string }) => error.code);
  assert.is(failure, 'PROTOCOL_ERROR');
  server.close();
  await http.close();
});

test.run();
