// Frames of the control socket: at any split, within their limits, and with hostile bytes.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { encodeFrame, FRAME_BYTES_MAX, FrameReader, type Frame } from './control-frames.ts';

const FRAMES: readonly Frame[] = [
  { kind: 'hello', protocol: 1, name: 'scrub', pid: 77 },
  { kind: 'request', id: 1, operation: 'attach', body: { name: 'ü', list: [1, null, true] } },
  { kind: 'reply', id: 1, body: null },
  { kind: 'refusal', id: 2, code: 'NO_SPACE', message: 'no room' },
];

function joined(frames: readonly Frame[]): Uint8Array {
  return Uint8Array.from(frames.flatMap((frame) => [...encodeFrame(frame)]));
}

/** "[length] text", little-endian, whatever the text. */
function raw(text: string): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  return Uint8Array.from([bytes.length & 0xff, bytes.length >> 8, 0, 0, ...bytes]);
}

function codeOf(read: () => void): string {
  try {
    read();
    return 'nothing';
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

test('a frame is a length and JSON', () => {
  const bytes = [...encodeFrame({ kind: 'reply', id: 1, body: null })];
  assert.equal(bytes.slice(0, 4), [35, 0, 0, 0]);
  assert.is(String.fromCharCode(...bytes.slice(4)), '{"kind":"reply","id":1,"body":null}');
});

test('frames come out whole at any split', () => {
  const bytes = joined(FRAMES);
  for (let size = 1; size <= bytes.length; size += 1) {
    const reader = new FrameReader();
    const found: Frame[] = [];
    for (let at = 0; at < bytes.length; at += size) found.push(...reader.read(bytes.subarray(at, at + size)));
    assert.equal(found, FRAMES);
  }
});

test('limits and shapes are checked', () => {
  const refused = ['[]', 'null', '12', '{}', '{"kind":"hello"}', '{"kind":"request","id":-1,"operation":"x"}'];
  refused.push(
    '{"kind":"request","id":1.5,"operation":"x"}',
    '{"kind":"request","id":1,"operation":""}',
    '{"kind":"other","id":1}',
  );
  refused.push(
    '{"kind":"refusal","id":1,"code":"ODD","message":""}',
    '{"kind":"reply"}',
    '{"kind":"reply","id":"1"}',
    '{"kind":',
  );
  refused.push(`{"kind":"request","id":1,"operation":"${'x'.repeat(256)}"}`);
  for (const text of refused)
    assert.is(
      codeOf(() => new FrameReader().read(raw(text))),
      'PROTOCOL_ERROR',
      text,
    );
  for (const length of [0, 1, FRAME_BYTES_MAX + 1, 0xffffffff]) {
    const head = new Uint8Array(4);
    new DataView(head.buffer).setUint32(0, length, true);
    assert.is(
      codeOf(() => new FrameReader().read(head)),
      'PROTOCOL_ERROR',
      `${length} bytes`,
    );
  }
  assert.is(
    codeOf(() => encodeFrame({ kind: 'reply', id: 1, body: 'x'.repeat(FRAME_BYTES_MAX) })),
    'OUT_OF_RANGE',
  );
  assert.equal(new FrameReader().read(raw('{"kind":"reply","id":1}')), [{ kind: 'reply', id: 1, body: null }]);
});

test('damaged frames are PROTOCOL_ERROR or other frames, never anything else', () => {
  const count = Number(process.env['PF_FUZZ_FRAMES'] ?? 20_000);
  let seed = Number(process.env['PF_FUZZ_SEED'] ?? 1);
  const below = (limit: number): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * limit);
  };
  const good = joined(FRAMES);
  const seen = new Map<string, number>();
  for (let round = 0; round < count; round += 1) {
    const bytes = good.slice(0, 1 + below(good.length));
    for (let flips = below(4); flips > 0; flips -= 1) bytes[below(bytes.length)] = below(256);
    const reader = new FrameReader();
    const code = codeOf(() => {
      const cut = below(bytes.length);
      for (const part of [bytes.subarray(0, cut), bytes.subarray(cut)]) {
        for (const { kind } of reader.read(part)) assert.ok(['hello', 'request', 'reply', 'refusal'].includes(kind));
      }
    });
    seen.set(code, (seen.get(code) ?? 0) + 1);
  }
  assert.equal([...seen.keys()].sort(), ['PROTOCOL_ERROR', 'nothing']);
});

test.run();
