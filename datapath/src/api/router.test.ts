// The door: parameters and bodies are checked before a handler sees them, and every answer is JSON.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ERROR_CODES, PfError } from '../base/errors.ts';
import type { HttpRequest } from '../world/http.ts';
import { errorOfReply, errorReply, exitCodeOf, httpStatusOf, retCodeOf } from './errors.ts';
import { nameField, optional, recordOf, wholeNumber } from './fields.ts';
import { createRouter } from './router.ts';
import type { Route } from './routes.ts';

const table = {
  add: {
    method: 'GET',
    params: { left: wholeNumber(0, 100), right: optional(wholeNumber(0, 100), 1) },
    body: null,
    answer: 'json',
  } as Route<{ left: number; right: number }, null, object>,
  greet: { method: 'POST', params: {}, body: recordOf<{ name: string }>({ name: nameField }), answer: 'json' } as Route<
    object,
    { name: string },
    object
  >,
  raw: { method: 'GET', params: {}, body: null, answer: 'binary' } as Route<object, null, Uint8Array>,
  break: { method: 'GET', params: {}, body: null, answer: 'json' } as Route<object, null, object>,
  fence: { method: 'GET', params: {}, body: null, answer: 'json' } as Route<object, null, object>,
};

const failures: string[] = [];
const route = createRouter(
  table,
  {
    add: ({ left, right }) => ({ op: 'add_reply', ret_code: 0, sum: left + right }),
    greet: (_params, { name }) => ({ op: 'greet_reply', ret_code: 0, text: `hello ${name}` }),
    raw: () => new Uint8Array([1, 2, 3]),
    break: () => {
      throw new TypeError('a bug');
    },
    fence: () => Promise.reject(new PfError('FENCED', 'no more', { cause: new Error('because') })),
  },
  (op) => failures.push(op),
);

async function ask(
  query: string,
  more: { method?: string; body?: string | Uint8Array } = {},
): Promise<{ status: number; reply: Record<string, unknown> }> {
  const { method = 'GET', body = '' } = more;
  const request: HttpRequest = {
    method,
    path: '/s5c/',
    query: new Map(new URLSearchParams(query)),
    body: typeof body === 'string' ? new TextEncoder().encode(body) : body,
    headers: new Map(),
    peer: 'test',
  };
  const response = await route(request);
  if (response.contentType !== 'application/json')
    return { status: response.status, reply: { type: response.contentType, bytes: [...response.body] } };
  return { status: response.status, reply: JSON.parse(new TextDecoder().decode(response.body)) as Record<string, unknown> };
}

async function refusalOf(query: string, more: { method?: string; body?: string | Uint8Array } = {}): Promise<string> {
  const { status, reply } = await ask(query, more);
  assert.is(status, 400);
  return `${String(reply['op'])} ${String(reply['ret_code'])} ${String(reply['code'])}: ${String(reply['reason'])}`;
}

test('good requests reach their handlers with parsed values', async () => {
  assert.equal(await ask('op=add&left=4&right=5'), { status: 200, reply: { op: 'add_reply', ret_code: 0, sum: 9 } });
  assert.equal(await ask('op=add&left=4'), { status: 200, reply: { op: 'add_reply', ret_code: 0, sum: 5 } });
  assert.equal(await ask('op=add&left=4', { method: 'POST' }), { status: 200, reply: { op: 'add_reply', ret_code: 0, sum: 5 } });
  assert.equal((await ask('op=greet', { method: 'POST', body: '{"name":"joe","more":1}' })).reply['text'], 'hello joe');
  assert.equal(await ask('op=raw'), { status: 200, reply: { type: 'application/octet-stream', bytes: [1, 2, 3] } });
});

test('bad requests are refused with a sentence that says what was wanted', async () => {
  assert.is(await refusalOf('op=nope'), 'nope_reply 1 UNSUPPORTED: unknown op "nope": use one of add, greet, raw, break, fence');
  assert.match(await refusalOf(''), /^unknown_reply 1 UNSUPPORTED: no op given: use one of/);
  assert.match(await refusalOf('op=__proto__'), /unknown op "__proto__"/);
  assert.match(await refusalOf('op=toString'), /unknown op "toString"/);
  assert.is(
    await refusalOf('op=add'),
    'add_reply 2 INVALID_ARGUMENT: op add misses parameter "left": a whole number from 0 to 100 wanted',
  );
  assert.is(
    await refusalOf('op=add&left=101'),
    'add_reply 2 INVALID_ARGUMENT: left: a whole number from 0 to 100 wanted, got "101"',
  );
  for (const bad of ['', '1.5', '1e1', '0x1', ' 1', '-1', '99999999999999999999', 'NaN']) {
    assert.match(await refusalOf(`op=add&left=${encodeURIComponent(bad)}`), /left: a whole number from 0 to 100 wanted/, bad);
  }
  assert.is(
    await refusalOf('op=add&left=1&lefty=2'),
    'add_reply 2 INVALID_ARGUMENT: op add has no parameter "lefty": it takes left, right',
  );
  assert.match(await refusalOf('op=add&left=1&__proto__=2'), /has no parameter "__proto__"/);
  assert.match(await refusalOf(`op=add&left=${'9'.repeat(10_000)}`), /got "9{59}\.\.\.$/);
  assert.match(await refusalOf('op=greet'), /op greet does not take GET: send it as POST with a JSON body/);
  assert.match(await refusalOf('op=add&left=1', { method: 'DELETE' }), /op add does not take DELETE/);
  assert.match(await refusalOf('op=greet', { method: 'POST' }), /the body is empty/);
  assert.match(await refusalOf('op=greet', { method: 'POST', body: '{"name":' }), /the body is not JSON/);
  assert.match(
    await refusalOf('op=greet', { method: 'POST', body: new Uint8Array([0x22, 0xff, 0x22]) }),
    /the body is not JSON in UTF-8/,
  );
  assert.match(await refusalOf('op=greet', { method: 'POST', body: '[]' }), /body: an object wanted, got \[\]/);
  assert.match(
    await refusalOf('op=greet', { method: 'POST', body: '{}' }),
    /name: 1 to 96 characters of A-Z a-z 0-9 \. _ - wanted, got nothing/,
  );
  assert.match(await refusalOf('op=greet', { method: 'POST', body: '{"name":"a b"}' }), /got "a b"/);
  assert.match(
    await refusalOf(
      Array.from({ length: 40 }, (_, index) => `p${index}=1`)
        .join('&')
        .concat('&op=add'),
    ),
    /41 parameters given, at most 32/,
  );
});

test('what a handler throws has the status of its code; only bugs are told to the log', async () => {
  assert.equal(await ask('op=fence'), {
    status: 409,
    reply: { op: 'fence_reply', ret_code: 20, reason: 'no more: because', code: 'FENCED' },
  });
  assert.equal(failures, []);
  assert.equal(await ask('op=break'), {
    status: 500,
    reply: { op: 'break_reply', ret_code: 30, reason: 'a bug', code: 'INTERNAL' },
  });
  assert.equal(failures, ['break']);
});

test('names are 1 to 96 characters', async () => {
  const greet = (name: string) => ask('op=greet', { method: 'POST', body: JSON.stringify({ name }) });
  assert.is((await greet('a'.repeat(96))).status, 200);
  assert.is((await greet('A-z_0.9')).status, 200);
  for (const bad of ['', 'a'.repeat(97), 'a/b', 'a b', 'ü', 'a\n'])
    assert.is((await greet(bad)).status, 400, JSON.stringify(bad));
});

test('every error code travels to the other side and back; PureFlash numbers stay what they are', () => {
  for (const code of ERROR_CODES) {
    const error = errorOfReply(errorReply('x', code, new PfError(code, 'why')));
    assert.is(error.code, code);
    assert.is(error.message, 'why');
    assert.ok(httpStatusOf(code) >= 400 && httpStatusOf(code) < 600);
    assert.ok(exitCodeOf(code) > 0 && exitCodeOf(code) < 256);
  }
  assert.is(new Set(ERROR_CODES.map(retCodeOf)).size, ERROR_CODES.length, 'ret_codes are distinct');
  assert.is(errorOfReply({ ret_code: 8 }).code, 'NOT_FOUND', 'a server that sends numbers only');
  assert.is(errorOfReply({ ret_code: 7, code: 'constructor' }).code, 'INVALID_STATE');
  assert.is(errorOfReply({ ret_code: 12345 }).code, 'INTERNAL');
});

test.run();
