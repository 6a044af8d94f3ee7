// Golden bytes of requests, answers as a kernel gave them (Linux 6.1), and any bytes at all for the decoder.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PfError } from '../../base/errors.ts';
import { SeededRandom } from '../../sim/seeded-random.ts';
import * as nbd from './nbd-netlink.ts';
import { AttributeSet, decodeAnswer, encodeRequest } from './netlink-message.ts';

const FAMILY: nbd.Family = { id: 0x1a, groupId: 5 };

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function bytesOf(...parts: string[]): Uint8Array {
  return new Uint8Array(Buffer.from(parts.join('').replaceAll(' ', ''), 'hex'));
}

function command(type: number, fields: nbd.NbdAttributes): string {
  return hex(encodeRequest(nbd.nbdRequest(FAMILY, type, 9, fields)));
}

test('CONNECT carries size, block size, flags, timeouts, sockets and the identifier', () => {
  const fields = {
    sizeBytes: 0x1_2345_6000,
    blockSizeBytes: 4096,
    timeoutS: 0,
    serverFlags: 0x6d,
    deadConnectionTimeoutS: 600,
    sockets: [21, 22],
    backend: 'vol-1',
  };
  const head = ['78000000', '1a00', '0500', '09000000', '00000000', '01', '01', '0000'];
  const numbers = ['0c000200 0060452301000000', '0c000300 0010000000000000', '0c000400 0000000000000000'];
  const more = ['0c000500 6d00000000000000', '0c000800 5802000000000000'];
  const sockets = ['1c000700', '0c000100 08000100 15000000', '0c000100 08000100 16000000'];
  const backend = ['0a000a00 766f6c2d3100 0000'];
  assert.is(command(nbd.CONNECT, fields), hex(bytesOf(...head, ...numbers, ...more, ...sockets, ...backend)));
});

test('RECONFIGURE carries no size unless it resizes', () => {
  const head = ['1a00', '0500', '09000000', '00000000', '03', '01', '0000'];
  const reconnect = [
    '38000000',
    ...head,
    '08000100 07000000',
    '10000700 0c000100 08000100 15000000',
    '0a000a00 766f6c2d3100 0000',
  ];
  assert.is(command(nbd.RECONFIGURE, { index: 7, sockets: [21], backend: 'vol-1' }), hex(bytesOf(...reconnect)));
  const resize = ['28000000', ...head, '08000100 07000000', '0c000200 0000004000000000'];
  assert.is(command(nbd.RECONFIGURE, { index: 7, sizeBytes: 2 ** 30 }), hex(bytesOf(...resize)));
});

test('DISCONNECT and STATUS carry the index', () => {
  assert.is(
    command(nbd.DISCONNECT, { index: 3 }),
    hex(bytesOf('1c000000 1a00 0500 09000000 00000000 02 01 0000 08000100 03000000')),
  );
  assert.is(command(nbd.STATUS, { index: 3 }), hex(bytesOf('1c000000 1a00 0500 09000000 00000000 05 01 0000 08000100 03000000')));
});

test('client flags, which could destroy the device with its opener, are never sent unless given', () => {
  assert.not.match(command(nbd.CONNECT, { sizeBytes: 4096, sockets: [1] }), '0c000600');
});

const GROUP = Buffer.from('nbd_mc_group\0').toString('hex');
const ACK = '24000000 0200 0001 09000000 10270000 00000000 1c000000 1a00 0500 09000000 00000000';

test('the answer to CONNECT names the index', () => {
  const reply = '1c000000 1a00 0000 09000000 10270000 01 01 0000 08000100 0b000000';
  const answer = decodeAnswer(bytesOf(reply, ACK));
  assert.is(answer.errno, 0);
  assert.is(nbd.readIndex(answer, nbd.CONNECT), 11);
});

test('a refusal brings its errno and, where the kernel gives it, its reason', () => {
  const plain = '24000000 0200 0001 09000000 10270000 f0ffffff 1c000000 1a00 0500 09000000 00000000';
  assert.equal(decodeAnswer(bytesOf(plain)), { messages: [], errno: 16, reason: '' });
  const text = Buffer.from('no way\0').toString('hex');
  const reasoned = `30000000 0200 0003 09000000 10270000 eaffffff 1c000000 1a00 0500 09000000 00000000 0b000100 ${text} 00`;
  assert.equal(decodeAnswer(bytesOf(reasoned)), { messages: [], errno: 22, reason: 'no way' });
  const uncapped = `3c000000 0200 0002 09000000 10270000 eaffffff 1c000000 1a00 0500 09000000 00000000 05 01 0000 08000100 03000000 0b000100 ${text} 00`;
  assert.is(decodeAnswer(bytesOf(uncapped)).reason, 'no way');
});

test('STATUS lists devices', () => {
  const item = (index: string, connected: string): string => `14000100 08000100 ${index}000000 05000200 ${connected} 000000`;
  const list = ['40000000 1a00 0000 09000000 10270000 05 01 0000', '2c000900', item('00', '01'), item('02', '00')];
  assert.equal(nbd.readStatus(decodeAnswer(bytesOf(...list, ACK))), [
    { index: 0, isConnected: true },
    { index: 2, isConnected: false },
  ]);
});

test('LINK_DEAD announcements name devices', () => {
  const announcement = (index: string): string => `1c000000 1a00 0000 00000000 00000000 04 01 0000 08000100 ${index}000000`;
  assert.equal(nbd.readDeadLinks(decodeAnswer(bytesOf(announcement('05'), announcement('06')))), [5, 6]);
});

test('the control family gives the number and the group', () => {
  const body = `06000100 1d00 0000 08000200 6e626400 24000700 20000100 08000200 0b000000 11000100 ${GROUP} 000000`;
  const bytes = bytesOf(body);
  const head = Buffer.alloc(20);
  head.writeUInt32LE(20 + bytes.length, 0);
  head.writeUInt16LE(16, 4);
  head.writeUInt8(1, 16);
  const answer = decodeAnswer(new Uint8Array(Buffer.concat([head, bytes])));
  assert.equal(nbd.readFamily(answer, 'nbd_mc_group'), { id: 29, groupId: 11 });
  assert.equal(nbd.readFamily(answer, 'other'), { id: 29, groupId: null });
});

test('lengths that lie are a protocol error', () => {
  const lies = [
    '0f000000 1a00 0000 09000000 10270000',
    '40000000 1a00 0000 09000000 10270000 01010000',
    '14000000 0200 0000 09000000 10270000 00',
  ];
  for (const lie of lies)
    assert.throws(
      () => decodeAnswer(bytesOf(lie)),
      (error: unknown) => error instanceof PfError && error.code === 'PROTOCOL_ERROR',
    );
  assert.throws(() => AttributeSet.decode(bytesOf('0300 0100')), 'an attribute of 3 bytes');
  assert.throws(() => AttributeSet.decode(bytesOf('0900 0100 00000000')), 'where 8 are left');
});

test('any bytes are read or refused, and reading ends', () => {
  const random = new SeededRandom(Number(process.env['PF_FUZZ_SEED'] ?? 1));
  const frames = Math.min(Number(process.env['PF_FUZZ_FRAMES'] ?? 20_000), 200_000);
  const valid = bytesOf('1c000000 1a00 0000 09000000 10270000 01 01 0000 08000100 0b000000', ACK);
  let refused = 0;
  for (let frame = 0; frame < frames; frame += 1) {
    const bytes = frame % 2 === 0 ? valid.slice(0, random.below(valid.length + 1)) : new Uint8Array(random.below(96));
    const changes = frame % 2 === 0 ? random.below(4) : bytes.length;
    for (let change = 0; change < changes && bytes.length > 0; change += 1) bytes[random.below(bytes.length)] = random.below(256);
    try {
      const answer = decodeAnswer(bytes);
      nbd.readIndex(answer, nbd.CONNECT);
      nbd.readStatus(answer);
      nbd.readDeadLinks(answer);
    } catch (error) {
      assert.ok(error instanceof PfError && error.code === 'PROTOCOL_ERROR', String(error));
      refused += 1;
    }
  }
  assert.ok(refused > frames / 10 && refused < frames);
});

test.run();
