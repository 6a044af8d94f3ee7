import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MemoryDevice } from '../block/memory-device.ts';
import {
  FIXED_AND_NO_ZEROES,
  ReplyParser,
  choice,
  describeOptionReply,
  hello,
  optionFrame,
  requestFrame,
  u32,
} from './testing/client-frames.ts';
import { MiB, ScriptedServer } from './testing/scripted-server.ts';
import type { ScriptedStream } from './testing/scripted-stream.ts';

async function rest(): Promise<void> {
  for (let round = 0; round < 20; round++) await Promise.resolve();
}

/** Everything that was sent, cut into option replies. */
async function optionReplies(stream: ScriptedStream): Promise<string[]> {
  await rest();
  let bytes = Buffer.from(stream.takeOutput());
  const lines: string[] = [];
  while (bytes.length > 0) {
    const length = 20 + bytes.readUInt32BE(16);
    lines.push(describeOptionReply(bytes.subarray(0, length)));
    bytes = bytes.subarray(length);
  }
  return lines;
}

test('the server greets first, with fixed newstyle and no zeroes', async () => {
  const stream = (await new ScriptedServer().open()).accept();
  assert.is(Buffer.from(stream.takeOutput()).toString('hex'), '4e42444d41474943' + '49484156454f5054' + '0003');
});

test('every split of the handshake gives the same replies', async () => {
  const bytes = Buffer.concat([
    FIXED_AND_NO_ZEROES,
    optionFrame(3),
    optionFrame(99, Buffer.alloc(500)),
    optionFrame(8),
    optionFrame(7, choice('disk', 3)),
  ]);
  for (const step of [1, 2, 3, 4, 5, 15, 16, 17, 19, 20, 21, 100, 10_000]) {
    const stream = (await new ScriptedServer().open()).accept();
    stream.takeOutput();
    for (let at = 0; at < bytes.length; at += step) stream.deliver(bytes.subarray(at, at + step));
    assert.equal(
      await optionReplies(stream),
      [
        'LIST: SERVER "disk" ""',
        'LIST: ACK',
        'option 99: ERR_UNSUP "option 99 is not supported"',
        'STRUCTURED_REPLY: ACK',
        'GO: INFO export 67108864 bytes, flags 0x9ed',
        'GO: INFO block sizes 1 4096 33554432',
        'GO: ACK',
      ],
      `split into ${step}`,
    );
  }
});

test('requests that come in one piece with GO are served', async () => {
  const stream = (await new ScriptedServer().open()).accept();
  stream.takeOutput();
  stream.deliver(
    Buffer.concat([hello(), requestFrame({ command: 3, cookie: 1 }), requestFrame({ command: 0, cookie: 2, length: 3 })]),
  );
  await rest();
  const output = Buffer.from(stream.takeOutput());
  const parser = new ReplyParser();
  parser.readLengths.set(2n, 3);
  parser.push(output.subarray(20 + 12 + 20));
  assert.is(parser.of(1).error, 0);
  assert.is(parser.of(2).chunks[0]!.payload.length, 3);
});

test('option data that is too long is skipped, and the next option is understood', async () => {
  const stream = (await new ScriptedServer({ limits: { maxOptionBytes: 100 } }).open()).accept();
  stream.takeOutput();
  stream.deliver(FIXED_AND_NO_ZEROES);
  for (const piece of [optionFrame(7, Buffer.alloc(70_000)), optionFrame(3)]) {
    for (let at = 0; at < piece.length; at += 999) stream.deliver(piece.subarray(at, at + 999));
  }
  assert.equal(await optionReplies(stream), [
    'GO: ERR_TOO_BIG "option data of 70000 bytes is too long"',
    'LIST: SERVER "disk" ""',
    'LIST: ACK',
  ]);
});

test('bytes that are no option end the connection, unknown flags too', async () => {
  for (const bytes of [Buffer.concat([FIXED_AND_NO_ZEROES, Buffer.alloc(16, 'x')]), u32(0x80000003)]) {
    const stream = (await new ScriptedServer().open()).accept();
    stream.deliver(bytes);
    assert.is(stream.isEnded, true);
  }
});

test('an export is opened once for all its clients and closed after the last of them', async () => {
  const scripted = await new ScriptedServer().open();
  const events: string[] = [];
  scripted.server.addExport({
    name: 'lazy',
    open: async (name) => {
      events.push(`open ${name}`);
      const device = new MemoryDevice(scripted.memory, { sizeBytes: MiB });
      device.close = async () => void events.push('close');
      return device;
    },
  });
  const join = async (): Promise<ScriptedStream> => {
    const stream = scripted.accept();
    stream.deliver(Buffer.concat([FIXED_AND_NO_ZEROES, optionFrame(6, choice('lazy')), optionFrame(7, choice('lazy'))]));
    await rest();
    return stream;
  };
  const [one, two] = [await join(), await join()];
  assert.equal(events, ['open lazy']);
  one.close();
  await rest();
  assert.equal(events, ['open lazy']);
  two.close();
  await rest();
  assert.equal(events, ['open lazy', 'close']);
  (await join()).close();
  await rest();
  assert.equal(events, ['open lazy', 'close', 'open lazy', 'close']);
  await scripted.server.close();
});

test('a client that leaves while its export is being opened leaves nothing behind', async () => {
  const scripted = await new ScriptedServer().open();
  let finish = (): void => {};
  let isClosed = false;
  const device = new MemoryDevice(scripted.memory, { sizeBytes: MiB });
  device.close = async () => void (isClosed = true);
  scripted.server.addExport({ name: 'slow', open: () => new Promise((resolve) => (finish = () => resolve(device))) });
  const stream = scripted.accept();
  stream.deliver(Buffer.concat([FIXED_AND_NO_ZEROES, optionFrame(7, choice('slow'))]));
  await rest();
  stream.close();
  assert.is(scripted.server.connectionCount, 1);
  finish();
  await rest();
  assert.is(scripted.server.connectionCount, 0);
  assert.is(isClosed, true);
});

test('an export that cannot be opened is refused with its reason, and may be asked for again', async () => {
  const scripted = await new ScriptedServer().open();
  let attempts = 0;
  scripted.server.addExport({
    name: 'shy',
    open: async () => {
      attempts += 1;
      if (attempts === 1) throw new Error('not today');
      return scripted.device;
    },
  });
  const stream = scripted.accept();
  stream.takeOutput();
  stream.deliver(Buffer.concat([FIXED_AND_NO_ZEROES, optionFrame(7, choice('shy')), optionFrame(7, choice('shy'))]));
  assert.equal(await optionReplies(stream), [
    'GO: ERR_PLATFORM "not today"',
    'GO: INFO export 67108864 bytes, flags 0x96d',
    'GO: ACK',
  ]);
});

test('removeExport() ends its clients and leaves the others', async () => {
  const scripted = await new ScriptedServer().open();
  scripted.server.addExport({ name: 'going', device: scripted.device });
  const [staying, going] = [scripted.accept(), scripted.accept()];
  staying.deliver(Buffer.concat([FIXED_AND_NO_ZEROES, optionFrame(7, choice('disk'))]));
  going.deliver(Buffer.concat([FIXED_AND_NO_ZEROES, optionFrame(7, choice('going'))]));
  await rest();
  const removal = scripted.server.removeExport('going');
  await rest();
  assert.is(going.isEnded, true);
  going.close();
  await removal;
  assert.is(staying.isEnded, false);
  let message = '';
  await scripted.server.removeExport('going').catch((error: Error) => (message = error.message));
  assert.is(message, 'cannot remove export "going": there is none of that name');
});

test('exports that make no sense are refused', async () => {
  const scripted = await new ScriptedServer().open();
  assert.throws(
    () => scripted.server.addExport({ name: 'disk', device: scripted.device }),
    /cannot add export "disk": there is one/,
  );
  assert.throws(() => scripted.server.addExport({ name: 'x' }), /give it either a device or a way to open one/);
});

test('beyond the connection limit clients are turned away', async () => {
  const scripted = await new ScriptedServer({ limits: { maxConnections: 1 } }).open();
  const first = scripted.accept();
  assert.is(scripted.accept().isDestroyed, true);
  first.close();
  assert.is(scripted.accept().isDestroyed, false);
});

test.run();
