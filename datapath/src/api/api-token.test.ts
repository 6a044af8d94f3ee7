// The token around the HTTP interfaces: how it is compared, where it is sent, what a file may hold.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Http, HttpHandler } from '../world/http.ts';
import type { World } from '../world/world.ts';
import { silentLogger } from '../world/log.ts';
import { openNodeWorld } from '../world/node/node-world.ts';
import { withToken, withTokenSent } from './api-token.ts';
import { parseToken } from './token-text.ts';

const TOKEN = 'correct-horse-battery-staple';

test('tokens are compared by their digests, whole, wherever they differ; nothing else is hashed', async () => {
  const hashed: string[] = [];
  let guarded: HttpHandler | null = null;
  const http: Http = {
    serve: (host, port, handler) => {
      guarded = handler;
      return Promise.resolve({ host, port, close: () => Promise.resolve() });
    },
    request: () => Promise.reject(new Error('not asked here')),
  };
  const sha256 = (bytes: Uint8Array): string => {
    hashed.push(new TextDecoder().decode(bytes));
    return hashed.at(-1) === TOKEN ? 'f'.repeat(64) : `${'f'.repeat(63)}0`;
  };
  await withToken({ http, sha256 } as unknown as World, TOKEN).http.serve('h', 1, () =>
    Promise.resolve({ status: 200, contentType: 'text/plain', body: new Uint8Array(0) }),
  );
  const answer = async (token: string): Promise<number> => {
    const request = { method: 'GET', path: '/api', query: new Map<string, string>(), body: new Uint8Array(0), peer: '' };
    return (await guarded!({ ...request, headers: new Map([['authorization', `Bearer ${token}`]]) })).status;
  };
  assert.is(await answer(TOKEN), 200);
  assert.is(await answer('x'), 401, 'a digest that differs in its last character only');
  assert.equal(hashed, [TOKEN, TOKEN, 'x']);
});

test('the token goes to the interfaces that want it, and nowhere else', async () => {
  const sent: (string | undefined)[] = [];
  const http: Http = {
    serve: () => Promise.reject(new Error('not served here')),
    request: (call) => {
      sent.push(call.headers?.['authorization']);
      return Promise.resolve({ status: 200, contentType: '', body: new Uint8Array(0) });
    },
  };
  for (const target of ['/s5c/?op=x', '/api?op=x', '/', '/apis', '/metrics?x=/api']) {
    await withTokenSent(http, TOKEN).request({ method: 'GET', host: 'h', port: 1, target, timeoutMs: 1 });
  }
  assert.equal(sent, [`Bearer ${TOKEN}`, `Bearer ${TOKEN}`, undefined, undefined, undefined]);
});

test('a token file holds one line of 16 to 512 printable characters', () => {
  assert.is(parseToken(`${TOKEN}\n`, 'f'), TOKEN);
  for (const text of [
    '',
    '\n',
    'short',
    'two words in this line',
    'a-token-of-this\nand-another-one',
    'ü'.repeat(20),
    'x'.repeat(513),
  ]) {
    assert.throws(() => parseToken(text, '/etc/token'), /cannot use the token in \/etc\/token: 16 to 512 printable characters/);
  }
});

test('what a machine can do, a world with a token can do, too', async () => {
  const world = await openNodeWorld({ log: silentLogger, memoryBytes: 4 * 1024 * 1024 });
  const guarded = withToken(world, 'secret') as unknown as Readonly<Record<string, unknown>>;
  for (const [name, port] of Object.entries(world)) {
    if (port !== undefined) assert.ok(guarded[name] !== undefined, `${name} is lost`);
  }
  await world.close();
});

test.run();
