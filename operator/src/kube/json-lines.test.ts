import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PfError } from '@pureflash/datapath/base';
import { SeededRandom } from '../runtime/testing/seeded-random.ts';
import { JsonLines } from './json-lines.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function codeOf(work: () => void): string {
  try {
    work();
  } catch (error) {
    assert.instance(error, PfError);
    return (error as PfError).code;
  }
  return 'nothing';
}

test('lines come out whole however the stream is cut', () => {
  const values = [{ a: 1 }, { text: 'zwölf Boxkämpfer – 日本語 🚀' }, {}, { deep: { list: [1, 'two\n', null] } }];
  const stream = bytes(values.map((value) => JSON.stringify(value)).join('\n') + '\n\n{"last":true}');
  const wanted = [...values, { last: true }];
  for (let cut = 0; cut <= stream.length; cut += 1) {
    const got: unknown[] = [];
    const lines = new JsonLines((value) => got.push(value));
    lines.push(stream.slice(0, cut));
    lines.push(stream.slice(cut));
    lines.end();
    assert.equal(got, wanted, `cut at ${cut}`);
  }
  for (let seed = 1; seed <= 200; seed += 1) {
    const random = new SeededRandom(seed);
    const got: unknown[] = [];
    const lines = new JsonLines((value) => got.push(value));
    for (let at = 0; at < stream.length; ) {
      const size = random.below(9);
      lines.push(stream.slice(at, at + size));
      at += size;
    }
    lines.end();
    assert.equal(got, wanted, `seed ${seed}`);
  }
});

test('random damage gives objects or PROTOCOL_ERROR, nothing else, and holds no more than the limit', () => {
  const stream = bytes(
    Array.from({ length: 20 }, (_, index) => JSON.stringify({ type: 'ADDED', object: { index } })).join('\n') + '\n',
  );
  const codes = new Map<string, number>();
  for (let seed = 1; seed <= 2_000; seed += 1) {
    const random = new SeededRandom(seed);
    const damaged = stream.slice();
    for (let hits = random.below(4); hits >= 0; hits -= 1) damaged[random.below(damaged.length)] = random.below(256);
    const lines = new JsonLines((value) => assert.type(value, 'object'), 200);
    const code = codeOf(() => {
      for (let at = 0; at < damaged.length; at += 50) {
        lines.push(damaged.slice(at, at + 50));
        assert.ok(lines.heldBytes <= 200);
      }
      lines.end();
    });
    codes.set(code, (codes.get(code) ?? 0) + 1);
  }
  assert.equal([...codes.keys()].sort(), ['PROTOCOL_ERROR', 'nothing']);
});

test('what is no JSON object, and text that is no UTF-8, is refused', () => {
  const push = (stream: Uint8Array): string => codeOf(() => new JsonLines(() => {}).push(stream));
  for (const text of ['[]\n', '1\n', 'null\n', '"x"\n', '{"a":\n', '<html>\n'])
    assert.is(push(bytes(text)), 'PROTOCOL_ERROR', text);
  assert.is(push(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d, 0x0a)), 'PROTOCOL_ERROR');
  assert.is(
    codeOf(() => new JsonLines(() => {}).end()),
    'nothing',
  );
  const cut = new JsonLines(() => {});
  cut.push(bytes('{"half":'));
  assert.is(
    codeOf(() => cut.end()),
    'PROTOCOL_ERROR',
  );
});

test('a line of 16 MiB passes; a longer one is refused before it is held', () => {
  const body = `{"a":"${'x'.repeat(16 * 1024 * 1024 - 8)}"}`;
  assert.is(body.length, 16 * 1024 * 1024);
  let count = 0;
  const lines = new JsonLines(() => (count += 1));
  lines.push(bytes(`${body}\n`));
  assert.is(count, 1);
  const piece = new Uint8Array(1024 * 1024).fill(0x20);
  for (let index = 0; index < 16; index += 1) lines.push(piece);
  assert.is(
    codeOf(() => lines.push(Uint8Array.of(0x20))),
    'PROTOCOL_ERROR',
  );
  assert.is(lines.heldBytes, 0);
});

test.run();
