// The kernel's control commands for ublk devices, as calls. Called by UblkMapper and its mappings.
import { PfError, type ErrorCode } from '../../base/errors.ts';
import type { Clock } from '../../world/clock.ts';
import type { Files } from '../../world/files.ts';
import { UBLK_COMMANDS_MAX, type Ublk, type UblkCommand, type UblkControlOptions, type UblkOutcome } from '../../world/ublk.ts';
import * as p from './protocol.ts';

const EINVAL = 22;
const EBUSY = 16;
const ENODEV = 19;
const EOPNOTSUPP = 95;
const ATTRIBUTE_BYTES_MAX = 64;
const LOOK_MS = 20;
/** As in attach/nbd/queue-tuning.ts; ordering requests is the store's business. */
const QUEUE_ATTRIBUTES = [
  ['scheduler', 'none'],
  ['read_ahead_kb', '1024'],
] as const;

export interface UblkPlaces {
  /** "/sys" and "/dev" */
  readonly sysFolder: string;
  readonly deviceFolder: string;
}

export class UblkControl {
  readonly #ublk: Ublk;
  readonly #files: Files;
  readonly #clock: Clock;
  readonly #places: UblkPlaces;

  constructor(ublk: Ublk, files: Files, clock: Clock, places: UblkPlaces) {
    this.#ublk = ublk;
    this.#files = files;
    this.#clock = clock;
    this.#places = places;
  }

  devicePath(deviceId: number): string {
    return `${this.#places.deviceFolder}/ublkb${deviceId}`;
  }

  /** What the kernel lacks, as words; null when it is so old that it cannot say. */
  async missingFeatures(): Promise<readonly string[] | null> {
    const [outcome] = await this.#ublk.control([command(p.GET_FEATURES, p.ANY_DEVICE, 0, new Uint8Array(p.FEATURES_BYTES))]);
    if (outcome!.errno === EOPNOTSUPP || outcome!.errno === EINVAL) return null;
    this.#check(outcome!, 'ask for the features of ublk');
    return p.missingFeatures(outcome!.bytes);
  }

  /** Resolves with the id. Nobody sees a disk yet. */
  async add(device: p.NewDevice): Promise<number> {
    const [outcome] = await this.#ublk.control([command(p.ADD_DEV, p.ANY_DEVICE, 0, p.encodeNewDevice(device))]);
    this.#check(outcome!, 'add a ublk device');
    return p.decodeDeviceInfo(outcome!.bytes).deviceId;
  }

  /** Resolves when the disk is there. The queue must ask for requests meanwhile. */
  async start(deviceId: number, parameters: p.DeviceParameters, pid: number): Promise<void> {
    const attributes = QUEUE_ATTRIBUTES.map(
      ([attribute, value]) => [this.#diskPath(deviceId, `queue/${attribute}`), value] as const,
    );
    const commands = [command(p.SET_PARAMS, deviceId, 0, p.encodeParameters(parameters)), command(p.START_DEV, deviceId, pid)];
    await this.#do(`start ublk device ${deviceId}`, commands, { attributes });
  }

  /** Null when there is none of that id. */
  async info(deviceId: number): Promise<p.DeviceInfo | null> {
    return (await this.#infos([deviceId]))[0] ?? null;
  }

  async find(hash: p.NameHash): Promise<p.DeviceInfo | null> {
    const names = await this.#files.list(`${this.#places.sysFolder}/class/ublk-char`);
    const ids = names
      .map((name) => /^ublkc(\d+)$/.exec(name)?.[1])
      .flatMap((digits) => (digits === undefined ? [] : [Number(digits)]));
    for (let at = 0; at < ids.length; at += UBLK_COMMANDS_MAX) {
      const found = (await this.#infos(ids.slice(at, at + UBLK_COMMANDS_MAX))).find((info) => p.isSameHash(info.hash, hash));
      if (found !== undefined) return found;
    }
    return null;
  }

  /** False while the process before still has the device. Error NOT_FOUND. */
  async startRecovery(deviceId: number): Promise<boolean> {
    const [outcome] = await this.#ublk.control([command(p.START_USER_RECOVERY, deviceId)]);
    if (outcome!.errno === EBUSY) return false;
    this.#check(outcome!, `take over ublk device ${deviceId}`);
    return true;
  }

  /** The queue must ask for requests meanwhile. */
  async endRecovery(deviceId: number, pid: number): Promise<void> {
    await this.#do(`take over ublk device ${deviceId}`, [command(p.END_USER_RECOVERY, deviceId, pid)]);
  }

  async resize(deviceId: number, sizeBytes: number): Promise<void> {
    await this.#do(`resize ublk device ${deviceId}`, [command(p.UPDATE_SIZE, deviceId, sizeBytes / p.SECTOR_BYTES)]);
  }

  /** New requests wait in the kernel, and commands that wait for one come back. */
  async quiesce(deviceId: number, timeoutMs: number): Promise<void> {
    await this.#do(`quiesce ublk device ${deviceId}`, [command(p.QUIESCE_DEV, deviceId, timeoutMs)]);
  }

  /** Error INVALID_STATE while somebody uses the disk; NOT_FOUND when it is not there. Nothing changes. */
  async checkUnused(deviceId: number): Promise<void> {
    await this.#ublk.control([command(p.GET_DEV_INFO, deviceId, 0, new Uint8Array(p.DEVICE_INFO_BYTES))], {
      claim: this.devicePath(deviceId),
      goesOn: true,
    });
  }

  /** The disk goes, and then the device. With a claim nothing changes while somebody uses the disk: INVALID_STATE. */
  async remove(deviceId: number, isClaimed: boolean): Promise<void> {
    const options = isClaimed ? { claim: this.devicePath(deviceId) } : {};
    const outcomes = await this.#ublk.control([command(p.STOP_DEV, deviceId), command(p.DEL_DEV_ASYNC, deviceId)], options);
    // What somebody else has removed meanwhile is gone: then the second command is not done.
    if (outcomes.some(({ errno }) => errno === ENODEV)) return;
    for (const outcome of outcomes) this.#check(outcome, `remove ublk device ${deviceId}`);
  }

  /** The disk goes, under its users, who get errors; the device stays. */
  async stop(deviceId: number): Promise<void> {
    await this.#do(`stop ublk device ${deviceId}`, [command(p.STOP_DEV, deviceId)]);
  }

  /** Until the process before has let the device go, for so long at most. */
  async settled(deviceId: number, timeoutMs: number): Promise<p.DeviceInfo | null> {
    const deadline = this.#clock.now() + timeoutMs;
    for (;;) {
      const info = await this.info(deviceId);
      if (info === null || info.state !== p.LIVE || this.#clock.now() > deadline) return info;
      await this.#clock.sleep(LOOK_MS);
    }
  }

  /** As the kernel has it; 0 when there is no disk. */
  async sizeBytes(deviceId: number): Promise<number> {
    const bytes = await this.#files.readStart(this.#diskPath(deviceId, 'size'), ATTRIBUTE_BYTES_MAX).catch(() => null);
    return bytes === null ? 0 : Number(new TextDecoder().decode(bytes)) * p.SECTOR_BYTES;
  }

  async #infos(ids: readonly number[]): Promise<readonly p.DeviceInfo[]> {
    const commands = ids.map((id) => command(p.GET_DEV_INFO, id, 0, new Uint8Array(p.DEVICE_INFO_BYTES)));
    // A device may go between any two looks.
    const outcomes = await this.#ublk.control(commands, { goesOn: true });
    return outcomes.filter(({ errno }) => errno === 0).map(({ bytes }) => p.decodeDeviceInfo(bytes));
  }

  async #do(action: string, commands: readonly UblkCommand[], options: UblkControlOptions = {}): Promise<void> {
    for (const outcome of await this.#ublk.control(commands, options)) this.#check(outcome, action);
  }

  #check({ errno }: UblkOutcome, action: string): void {
    if (errno !== 0) throw this.#refusal(errno, action);
  }

  #refusal(errno: number, action: string): PfError {
    return new PfError(CODES.get(errno) ?? 'IO_ERROR', `cannot ${action}: the kernel refuses with errno ${errno}`);
  }

  #diskPath(deviceId: number, attribute: string): string {
    return `${this.#places.sysFolder}/block/ublkb${deviceId}/${attribute}`;
  }
}

const CODES = new Map<number, ErrorCode>([
  [1, 'PERMISSION_DENIED'],
  [EBUSY, 'INVALID_STATE'],
  [17, 'ALREADY_EXISTS'],
  [ENODEV, 'NOT_FOUND'],
  [EINVAL, 'INVALID_ARGUMENT'],
  [28, 'NO_SPACE'],
  [12, 'NO_SPACE'],
  [EOPNOTSUPP, 'UNSUPPORTED'],
]);

function command(operation: number, deviceId: number, data = 0, bytes?: Uint8Array): UblkCommand {
  return bytes === undefined ? { operation, deviceId, data } : { operation, deviceId, data, bytes };
}
