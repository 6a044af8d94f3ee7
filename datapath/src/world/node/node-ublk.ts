// The ublk port over the native addon: each call of control() is a process of its own (native/ublk-control), queues live on the ring.
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { PfError } from '../../base/errors.ts';
import {
  UBLK_COMMANDS_MAX,
  type Ublk,
  type UblkCommand,
  type UblkControlOptions,
  type UblkOutcome,
  type UblkQueue,
} from '../ublk.ts';
import { findBuilt, nativeError, type NativeUblk, type NativeUblkDevice } from './native-addon.ts';
import { toPfError } from './system-error.ts';

const CONTROL = '/dev/ublk-control';
const PROGRAM = 'pureflash-ublk';
const TIMEOUT_MS = 30_000;
const COMMAND_WORDS = 4;
const WORD = 2 ** 32;

export class NodeUblk implements Ublk {
  readonly #addon: NativeUblk;
  readonly #makeQueue: (device: NativeUblkDevice) => UblkQueue;

  constructor(addon: NativeUblk, makeQueue: (device: NativeUblkDevice) => UblkQueue) {
    this.#addon = addon;
    this.#makeQueue = makeQueue;
  }

  async unavailable(): Promise<string | null> {
    if (findBuilt(PROGRAM) === undefined) return `the program ${PROGRAM} is not built; run: node datapath/native/build.mjs`;
    try {
      await access(CONTROL, constants.R_OK | constants.W_OK);
      return null;
    } catch (error) {
      const { code } = error as { code?: string };
      return code === 'ENOENT'
        ? `there is no ${CONTROL}: run modprobe ublk_drv (CONFIG_BLK_DEV_UBLK)`
        : `${CONTROL} may not be opened: run as root, in a privileged container`;
    }
  }

  async control(commands: readonly UblkCommand[], options: UblkControlOptions = {}): Promise<readonly UblkOutcome[]> {
    const { goesOn = false, claim = '', attributes = [], timeoutMs = TIMEOUT_MS } = options;
    if (commands.length === 0) return [];
    const stride = Math.max(...commands.map(({ bytes }) => bytes?.length ?? 0));
    const words = new Uint32Array(COMMAND_WORDS * commands.length);
    const bytes = new Uint8Array(stride * commands.length);
    commands.forEach((command, index) => {
      const { operation, deviceId, data = 0 } = command;
      words.set([operation, deviceId, data % WORD, Math.floor(data / WORD)], COMMAND_WORDS * index);
      if (command.bytes !== undefined) bytes.set(command.bytes, stride * index);
    });
    if (commands.length > UBLK_COMMANDS_MAX || commands.some((each) => each.bytes !== undefined && each.bytes.length !== stride))
      throw new PfError(
        'INVALID_ARGUMENT',
        `cannot do ${commands.length} ublk commands at once: wanted at most ${UBLK_COMMANDS_MAX}, of one length`,
      );
    const answer = await this.#addon.ublkControl(this.#program(), words, bytes, goesOn, claim, attributes.flat(), timeoutMs);
    if (typeof answer === 'number')
      throw toPfError(nativeError(answer, 'ublk'), `cannot ask the kernel's ublk${claim === '' ? '' : ` with ${claim} claimed`}`);
    const results = new Int32Array(answer, 0, commands.length);
    return commands.map((_, index) => ({
      errno: -results[index]!,
      bytes: new Uint8Array(answer, 4 * commands.length + stride * index, stride),
    }));
  }

  open(deviceId: number, depth: number): UblkQueue {
    const path = `/dev/ublkc${deviceId}`;
    const device = this.#addon.openUblk(path, depth);
    if (typeof device === 'number') throw toPfError(nativeError(device, 'open'), `cannot open ${path}`);
    return this.#makeQueue(device);
  }

  #program(): string {
    const path = findBuilt(PROGRAM);
    if (path === undefined)
      throw new PfError('UNSUPPORTED', `the program ${PROGRAM} is not built; run: node datapath/native/build.mjs`);
    return path;
  }
}
