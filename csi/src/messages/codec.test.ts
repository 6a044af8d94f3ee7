// Messages as bytes: each expected byte is written out, as the wire format has it; and no bytes whatever get past the decoder but as a message
// or as a refusal.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import protobuf from 'protobufjs/minimal.js';
import { PfError } from '@pureflash/datapath/base';
import { decodeMessage, encodeMessage } from './codec.ts';
import { CreateVolumeRequest, ListVolumesRequest } from './controller-service.ts';
import { GetPluginCapabilitiesResponse, ProbeRequest, ProbeResponse } from './identity-service.ts';
import { NodeGetVolumeStatsResponse } from './node-service.ts';
import { PluginInfo } from './registration-service.ts';
import { CapacityRange, Topology, VolumeCapability } from './volume-messages.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const bytesOf = (text: string): Uint8Array => Buffer.from(text.replaceAll(' ', ''), 'hex');

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    assert.instance(error, PfError);
    assert.is((error as PfError).code, 'INVALID_ARGUMENT');
    return (error as PfError).message;
  }
  return assert.unreachable('nothing was refused') as never;
}

test('a message of texts, numbers, lists and nested messages has the bytes of the wire format', () => {
  const bytes = encodeMessage(CreateVolumeRequest, {
    name: 'v',
    capacityRange: { requiredBytes: 300 },
    volumeCapabilities: [{ mount: { fsType: 'xfs', mountFlags: ['a', ''] }, accessMode: { mode: 'SINGLE_NODE_WRITER' } }],
    parameters: { replicas: '3' },
  });
  // name | capacity_range { required_bytes = 300 } | capability { mount { fs_type, 2 flags }, access_mode { 1 } } | one entry
  assert.is(
    hex(bytes),
    [
      '0a0176',
      '120308ac02',
      '1a10' + '120a' + '0a03786673' + '120161' + '1200' + '1a020801',
      '220d' + '0a087265706c69636173' + '120133',
    ].join(''),
  );
  assert.equal(decodeMessage(CreateVolumeRequest, bytes), {
    name: 'v',
    capacityRange: { requiredBytes: 300, limitBytes: 0 },
    volumeCapabilities: [
      {
        block: null,
        mount: { fsType: 'xfs', mountFlags: ['a', ''], volumeMountGroup: '' },
        accessMode: { mode: 'SINGLE_NODE_WRITER' },
      },
    ],
    parameters: { replicas: '3' },
    secrets: {},
    volumeContentSource: null,
    accessibilityRequirements: null,
    mutableParameters: {},
  });
});

test('zero values are not sent, an empty message is', () => {
  assert.is(hex(encodeMessage(ListVolumesRequest, { maxEntries: 0, startingToken: '' })), '');
  assert.is(hex(encodeMessage(ProbeResponse, {})), '');
  assert.is(hex(encodeMessage(ProbeResponse, { ready: {} })), '0a00');
  assert.is(hex(encodeMessage(VolumeCapability, { block: {} })), '0a00');
  assert.equal(decodeMessage(VolumeCapability, bytesOf('0a00')), { block: {}, mount: null, accessMode: null });
  assert.equal(decodeMessage(ProbeResponse, bytesOf('')), { ready: null });
  assert.equal(decodeMessage(ProbeResponse, bytesOf('0a00')), { ready: { value: false } });
});

test('negative numbers take ten bytes', () => {
  assert.is(hex(encodeMessage(ListVolumesRequest, { maxEntries: -1 })), '08ffffffffffffffffff01');
  assert.equal(decodeMessage(ListVolumesRequest, bytesOf('08ffffffffffffffffff01')), { maxEntries: -1, startingToken: '' });
  assert.is(hex(encodeMessage(CapacityRange, { limitBytes: -2 })), '10feffffffffffffffff01');
  assert.equal(decodeMessage(CapacityRange, bytesOf('10feffffffffffffffff01')), { requiredBytes: 0, limitBytes: -2 });
});

for (const long of [protobuf.util.Long, undefined]) {
  const how = long === undefined ? 'without Long' : 'with Long';
  const read = (text: string): number => {
    const before = protobuf.util.Long;
    (protobuf.util as { Long: unknown }).Long = long;
    protobuf.configure();
    try {
      return decodeMessage(CapacityRange, bytesOf(text)).requiredBytes;
    } finally {
      (protobuf.util as { Long: unknown }).Long = before;
      protobuf.configure();
    }
  };

  test(`whole numbers are exact or refused, ${how}`, () => {
    assert.is(long === undefined || typeof long === 'function', true);
    assert.is(read('08 ffffffffffffff0f'), 9007199254740991); // 2^53 - 1
    assert.is(read('08 81808080808080f0ff01'), -9007199254740991);
    const wanted = 'cannot read csi.v1.CapacityRange: required_bytes: a whole number from -(2^53 - 1) to 2^53 - 1 wanted, got ';
    assert.ok(refusal(() => read('08 8080808080808010')).startsWith(`${wanted}9007199254740992`)); // 2^53
    assert.ok(refusal(() => read('08 8180808080808010')).startsWith(`${wanted}900719925474099`)); // 2^53 + 1, which a double rounds
    assert.ok(refusal(() => read('08 ffffffffffffffff7f')).startsWith(`${wanted}922337203685477`)); // 2^63 - 1
    assert.ok(refusal(() => read('08 80808080808080808001')).startsWith(`${wanted}-922337203685477`)); // -2^63
  });
}

test('the last of a oneof wins', () => {
  const mount = '1205' + '0a03786673';
  assert.equal(decodeMessage(VolumeCapability, bytesOf(`0a00${mount}`)).block, null);
  assert.equal(decodeMessage(VolumeCapability, bytesOf(`${mount}0a00`)), { block: {}, mount: null, accessMode: null });
});

test('a message in parts is merged, a text sent twice is the later one, a list grows, a key keeps its last value', () => {
  assert.equal(decodeMessage(CreateVolumeRequest, bytesOf('12020801 12021002')).capacityRange, {
    requiredBytes: 1,
    limitBytes: 2,
  });
  assert.equal(decodeMessage(CreateVolumeRequest, bytesOf('0a0161 0a0162')).name, 'b');
  assert.equal(decodeMessage(PluginInfo, bytesOf('220161 0a0162 220163')).supportedVersions, ['a', 'c']);
  const topology = decodeMessage(Topology, bytesOf('0a06 0a0161 120131  0a06 0a0162 120132  0a06 0a0161 120133'));
  assert.equal(topology.segments, { a: '3', b: '2' });
});

test('messages share nothing: a decoded list or map is the message own', () => {
  const one = decodeMessage(PluginInfo, bytesOf('220161'));
  const two = decodeMessage(PluginInfo, bytesOf('220162'));
  assert.equal([one.supportedVersions, two.supportedVersions], [['a'], ['b']]);
  assert.equal(decodeMessage(PluginInfo, bytesOf('')).supportedVersions, []);
});

test('unknown fields and wire types are skipped, an unknown value of an enumeration is its zero', () => {
  // Fields 15 (varint), 14 (8 bytes), 13 (text), 12 (4 bytes), 11 (a group with a field in it).
  const unknown = '7805 710102030405060708 6a026869 6501020304 5b08015c';
  assert.equal(decodeMessage(ProbeRequest, bytesOf(unknown)), {});
  assert.is(decodeMessage(PluginInfo, bytesOf(`${unknown} 120161`)).name, 'a');
  assert.is(decodeMessage(PluginInfo, bytesOf('1005 120161')).name, 'a'); // Number 2 as a varint, then as text.
  assert.equal(decodeMessage(VolumeCapability, bytesOf('1a020863')).accessMode, { mode: 'UNKNOWN' });
  assert.equal(decodeMessage(GetPluginCapabilitiesResponse, bytesOf('0a04 0a020801')).capabilities, [
    { service: { type: 'CONTROLLER_SERVICE' }, volumeExpansion: null },
  ]);
});

test('a key called __proto__ is a key', () => {
  const { segments } = decodeMessage(Topology, encodeMessage(Topology, { segments: Object.fromEntries([['__proto__', 'x']]) }));
  assert.equal(Object.entries(segments), [['__proto__', 'x']]);
  assert.is(Object.getPrototypeOf(segments), Object.prototype);
});

test('malformed bytes are refused, and the complaint names the field', () => {
  assert.match(
    refusal(() => decodeMessage(CreateVolumeRequest, bytesOf('0a05 61'))),
    /^cannot read csi\.v1\.CreateVolumeRequest: name: the bytes are no such message$/,
  );
  assert.match(
    refusal(() => decodeMessage(CreateVolumeRequest, bytesOf('1a04 1a020801 01'))),
    /^cannot read csi.v1.CreateVolumeRequest/,
  );
  assert.match(
    refusal(() => decodeMessage(PluginInfo, bytesOf('1202 c328'))),
    /: name: text in UTF-8 wanted$/,
  );
  assert.match(
    refusal(() => decodeMessage(NodeGetVolumeStatsResponse, bytesOf('0a0b 08ffffffffffffffff7f20'))),
    /: usage\.available: a whole/,
  );
  // Number 0, a group that never ends, an end of no group, wire types 6 and 7, half a varint, nothing of eight bytes.
  for (const text of ['00 00', '0b', '0c', '0e', '0f', '80', '08 ff', '09', '5b'.repeat(100_000)]) {
    refusal(() => decodeMessage(ProbeRequest, bytesOf(text)));
  }
});

test('a draft of which no message can be made is a bug', () => {
  assert.throws(() => encodeMessage(CapacityRange, { requiredBytes: 2 ** 53 }), /9007199254740992 is no whole number/);
  assert.throws(() => encodeMessage(CapacityRange, { requiredBytes: 0.5 }), /0.5 is no whole number/);
  assert.throws(() => encodeMessage(CapacityRange, { requiredBytes: NaN }), /no whole number/);
  assert.throws(() => encodeMessage(ListVolumesRequest, { maxEntries: 2 ** 31 }), /no whole number/);
  assert.throws(() => encodeMessage(VolumeCapability, { accessMode: { mode: 'toString' as never } }), /has no value "toString"/);
});

test('a hundred thousand entries are read in one go', () => {
  const keys = Array.from({ length: 100_000 }, (_, i) => [`key-${i}`, ''] as const);
  const bytes = encodeMessage(Topology, { segments: Object.fromEntries(keys) });
  assert.is(Object.keys(decodeMessage(Topology, bytes).segments).length, 100_000);
});

test('random and mutated bytes are a message or a refusal, and what was read can be written and read again', () => {
  const random = seededRandom(20_261_121);
  const samples = [
    encodeMessage(CreateVolumeRequest, {
      name: 'pvc-1',
      capacityRange: { requiredBytes: 2 ** 40, limitBytes: 2 ** 41 },
      volumeCapabilities: [
        { block: {}, accessMode: { mode: 'MULTI_NODE_MULTI_WRITER' } },
        { mount: { mountFlags: ['noatime'] } },
      ],
      parameters: { replicas: '3', cluster: 'main' },
      secrets: { key: 'value' },
      volumeContentSource: { snapshot: { snapshotId: 's' } },
      accessibilityRequirements: { requisite: [{ segments: { zone: 'a' } }], preferred: [{}] },
    }),
    new Uint8Array(40),
  ];
  let read = 0;
  for (let round = 0; round < 20_000; round++) {
    const bytes = Uint8Array.from(samples[round % 2] as Uint8Array);
    const changes = round % 2 === 0 ? 1 + random(4) : bytes.length;
    for (let i = 0; i < changes; i++) bytes[random(bytes.length)] = random(256);
    const part = bytes.subarray(0, bytes.length - (random(3) === 0 ? random(bytes.length) : 0));
    try {
      const message = decodeMessage(CreateVolumeRequest, part);
      assert.equal(decodeMessage(CreateVolumeRequest, encodeMessage(CreateVolumeRequest, message)), message);
      read++;
    } catch (error) {
      if (!(error instanceof PfError)) throw error;
      assert.is(error.code, 'INVALID_ARGUMENT');
    }
  }
  assert.ok(read > 500, `only ${read} of the mutated messages could be read`);
});

/** Whole numbers below `limit`, the same for every run. */
function seededRandom(seed: number): (limit: number) => number {
  let state = seed >>> 0;
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

test.run();
