// The ublk port: commands as the addon gets them and its answers as they are given on, over a scripted addon; and the real addon with its
// program, which on most machines finds no ublk.
// needs: native io_uring
import { existsSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { errorCodeOf } from '../../base/errors.ts';
import { silentLogger } from '../log.ts';
import type { UblkCommand, UblkControlOptions, UblkQueue } from '../ublk.ts';
import type { NativeUblk } from './native-addon.ts';
import { NodeUblk } from './node-ublk.ts';
import { openNodeWorld } from './node-world.ts';

const GET_FEATURES = 0x80207513;

class ScriptedAddon implements NativeUblk {
  calls: unknown[][] = [];
  answer: ArrayBuffer | number = 0;
  device: number = -16;

  async ublkControl(_program: string, ...rest: unknown[]): Promise<ArrayBuffer | number> {
    this.calls.push(rest);
    return this.answer;
  }

  openUblk(): number {
    return this.device;
  }

  closeUblk(): void {}
}

function open(): { addon: ScriptedAddon; ublk: NodeUblk } {
  const addon = new ScriptedAddon();
  return { addon, ublk: new NodeUblk(addon, () => ({}) as UblkQueue) };
}

async function codeOf(action: Promise<unknown>): Promise<string> {
  return action.then(
    () => 'done',
    (error: unknown) => errorCodeOf(error),
  );
}

test('commands are four words each, with as many bytes; results and bytes come back', async () => {
  const { addon, ublk } = open();
  const answer = new Uint8Array(2 * 4 + 2 * 2);
  new DataView(answer.buffer).setInt32(4, -16, true);
  answer.set([1, 2, 3, 4], 8);
  addon.answer = answer.buffer;
  const commands: UblkCommand[] = [
    { operation: GET_FEATURES, deviceId: 0xffffffff, bytes: Uint8Array.of(7, 8) },
    { operation: 1, deviceId: 5, data: 2 ** 32 + 3 },
  ];
  const options: UblkControlOptions = { claim: '/dev/ublkb5', goesOn: true, attributes: [['/sys/x', 'none']], timeoutMs: 5 };
  assert.equal(
    (await ublk.control(commands, options)).map(({ errno, bytes }) => [errno, [...bytes]]),
    [
      [0, [1, 2]],
      [16, [3, 4]],
    ],
  );
  const [words, bytes, ...rest] = addon.calls[0] as [Uint32Array, Uint8Array, ...unknown[]];
  assert.equal([...words], [GET_FEATURES, 0xffffffff, 0, 0, 1, 5, 3, 1]);
  assert.equal([...bytes], [7, 8, 0, 0]);
  assert.equal(rest, [true, '/dev/ublkb5', ['/sys/x', 'none'], 5]);
  assert.equal(await ublk.control([]), []);
});

test('what fails as a whole is an error with a code', async () => {
  const { addon, ublk } = open();
  const command = { operation: 1, deviceId: 0 };
  for (const [errno, code] of [
    [-16, 'INVALID_STATE'],
    [-2, 'NOT_FOUND'],
    [-110, 'TIMEOUT'],
    [-1, 'PERMISSION_DENIED'],
  ] as const) {
    addon.answer = errno;
    assert.is(await codeOf(ublk.control([command])), code);
  }
  assert.is(await codeOf(ublk.control(Array.from({ length: 65 }, () => command))), 'INVALID_ARGUMENT');
  const uneven = [new Uint8Array(8), new Uint8Array(4)].map((bytes) => ({ ...command, bytes }));
  assert.is(await codeOf(ublk.control(uneven)), 'INVALID_ARGUMENT');
  assert.throws(
    () => ublk.open(3, 128),
    (error: unknown) => errorCodeOf(error) === 'INVALID_STATE',
  );
});

test('the program asks the kernel, or finds that there is no ublk', async () => {
  const world = await openNodeWorld({ ports: 'io_uring', log: silentLogger, memoryBytes: 16 * 1024 * 1024 });
  const command = { operation: GET_FEATURES, deviceId: 0xffffffff, bytes: new Uint8Array(8) };
  if (existsSync('/dev/ublk-control')) {
    assert.is((await world.ublk!.control([command])).length, 1);
  } else {
    assert.match((await world.ublk!.unavailable()) ?? '', 'modprobe ublk_drv');
    assert.is(await codeOf(world.ublk!.control([command])), 'NOT_FOUND');
  }
  assert.is(await codeOf(world.ublk!.control([command], { claim: '/dev/no-such-disk' })), 'NOT_FOUND');
  await world.close();
});

test.run();
