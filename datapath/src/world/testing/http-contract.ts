// What every HTTP port does.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../base/sizes.ts';
import type { HttpCall, HttpRequest, HttpResponse } from '../http.ts';
import type { World } from '../world.ts';
import { codeOf, eventually, inWorld, type OpenWorld } from './contract-world.ts';

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const plain = (status: number, text: string): HttpResponse => ({ status, contentType: 'text/plain', body: encode(text) });
const get = (port: number, target: string): HttpCall => ({ method: 'GET', host: '127.0.0.1', port, target, timeoutMs: 5000 });

export function httpContract(name: string, openWorld: OpenWorld): void {
  const test = suite(`HTTP: ${name}`);
  test('a handler sees method, path, query, headers and body; a caller the answer', inWorld(openWorld, roundTrip));
  test('a handler that throws answers 500 with the error', inWorld(openWorld, throwingHandler));
  test('a body over 16 MiB is refused with 413', inWorld(openWorld, hugeBody));
  test('every status resolves', inWorld(openWorld, statuses));
  test('a late answer is TIMEOUT, an abort gives the reason, nobody there CONNECTION_LOST', inWorld(openWorld, failures));
  test('many calls at once are answered each with its own', inWorld(openWorld, manyAtOnce));
  test('close() waits for the request being answered and then refuses', inWorld(openWorld, closing));
  test('a busy port is ALREADY_EXISTS', inWorld(openWorld, busyPort));
  test.run();
}

async function roundTrip(world: World): Promise<void> {
  const seen: HttpRequest[] = [];
  const server = await world.http.serve('127.0.0.1', 0, async (request) => {
    seen.push(request);
    return { ...plain(201, `got ${decode(request.body)}`), headers: { 'x-answer': 'yes' } };
  });
  const response = await world.http.request({
    ...get(server.port, '/s5c/a%20b?op=list_volume&name=v%2F1'),
    method: 'POST',
    body: encode('{"a":1}'),
    contentType: 'application/json',
    headers: { 'x-token': 'secret' },
  });
  assert.is(response.status, 201);
  assert.is(response.contentType, 'text/plain');
  assert.is(decode(response.body), 'got {"a":1}');
  assert.is(response.headers?.['x-answer'], 'yes');
  const request = seen[0]!;
  assert.is(request.method, 'POST');
  assert.is(request.path, '/s5c/a b');
  assert.is(request.query.get('op'), 'list_volume');
  assert.is(request.query.get('name'), 'v/1');
  assert.is(request.headers.get('content-type'), 'application/json');
  assert.is(request.headers.get('x-token'), 'secret');
  await server.close();
}

async function throwingHandler(world: World): Promise<void> {
  const server = await world.http.serve('127.0.0.1', 0, async () => {
    throw new Error('the disk is on fire');
  });
  const response = await world.http.request(get(server.port, '/'));
  assert.is(response.status, 500);
  assert.match(decode(response.body), 'the disk is on fire');
  await server.close();
}

async function hugeBody(world: World): Promise<void> {
  let calls = 0;
  const server = await world.http.serve('127.0.0.1', 0, async () => {
    calls += 1;
    return plain(200, '');
  });
  const post = (body: Uint8Array): Promise<HttpResponse> =>
    world.http.request({ ...get(server.port, '/'), method: 'POST', body });
  assert.is((await post(new Uint8Array(16 * MiB))).status, 200);
  assert.is((await post(new Uint8Array(16 * MiB + 1))).status, 413);
  assert.is(calls, 1);
  await server.close();
}

async function statuses(world: World): Promise<void> {
  const server = await world.http.serve('127.0.0.1', 0, async (request) => plain(Number(request.query.get('status')), ''));
  for (const status of [200, 400, 404, 409, 503]) {
    assert.is((await world.http.request(get(server.port, `/?status=${status}`))).status, status);
  }
  await server.close();
}

async function failures(world: World): Promise<void> {
  let release = (): void => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  const server = await world.http.serve('127.0.0.1', 0, async () => {
    await held;
    return plain(200, '');
  });
  assert.is(await codeOf(world.http.request({ ...get(server.port, '/'), timeoutMs: 20 })), 'TIMEOUT');
  const abort = new AbortController();
  const reason = new Error('changed my mind');
  const aborted = world.http.request({ ...get(server.port, '/'), signal: abort.signal });
  world.clock.after(10, () => abort.abort(reason));
  assert.is(await aborted.catch((error: unknown) => error), reason);
  release();
  await server.close();
  assert.is(await codeOf(world.http.request(get(server.port, '/'))), 'CONNECTION_LOST');
}

async function manyAtOnce(world: World): Promise<void> {
  const server = await world.http.serve('127.0.0.1', 0, async (request) => {
    await world.clock.sleep(Number(request.query.get('n')) % 5);
    return plain(200, request.query.get('n')!);
  });
  for (let round = 0; round < 3; round += 1) {
    const numbers = Array.from({ length: 40 }, (_, index) => round * 100 + index);
    const answers = await Promise.all(
      numbers.map(async (n) => decode((await world.http.request(get(server.port, `/?n=${n}`))).body)),
    );
    assert.equal(answers.map(Number), numbers);
  }
  await server.close();
}

async function closing(world: World): Promise<void> {
  let isStarted = false;
  const server = await world.http.serve('127.0.0.1', 0, async () => {
    isStarted = true;
    await world.clock.sleep(50);
    return plain(200, 'done');
  });
  const call = world.http.request(get(server.port, '/'));
  await eventually(world, 'the request is being answered', () => isStarted);
  const [response] = await Promise.all([call, server.close(), server.close()]);
  assert.is(decode(response.body), 'done');
  assert.is(await codeOf(world.http.request(get(server.port, '/'))), 'CONNECTION_LOST');
}

async function busyPort(world: World): Promise<void> {
  const server = await world.http.serve('127.0.0.1', 0, async () => plain(200, ''));
  assert.is(await codeOf(world.http.serve('127.0.0.1', server.port, async () => plain(200, ''))), 'ALREADY_EXISTS');
  await server.close();
}
