// Calls to the kernel's NBD client, one method a command. Refusals become PfErrors that say which device and what the kernel said.
// A call whose answer does not come in time is given up with TIMEOUT: whether the kernel has acted is not known then.
import { PfError, type ErrorCode } from '../../base/errors.ts';
import type { Clock } from '../../world/clock.ts';
import type { Kernel, NetlinkListener, NetlinkOptions } from '../../world/kernel.ts';
import { decodeAnswer, encodeRequest, type Answer, type RequestFields } from './netlink-message.ts';
import * as nbd from './nbd-netlink.ts';

/** How long a call may take. Connecting took up to a quarter of a second in a large fleet. */
const PATIENCE_MS = 15_000;
/** As the kernel names them. */
const ERROR_CODES: Readonly<Record<number, ErrorCode>> = {
  1: 'PERMISSION_DENIED',
  2: 'NOT_FOUND',
  12: 'NO_SPACE',
  13: 'PERMISSION_DENIED',
  16: 'INVALID_STATE',
  19: 'NOT_FOUND',
  22: 'INVALID_ARGUMENT',
  28: 'NO_SPACE',
};

export class NbdControl {
  readonly #kernel: Kernel;
  readonly #clock: Clock;
  #sequence = 0;
  #family: nbd.Family | null = null;

  constructor(kernel: Kernel, clock: Clock) {
    this.#kernel = kernel;
    this.#clock = clock;
  }

  /** Error NOT_FOUND when the kernel has no NBD client, or has not loaded it. */
  async family(): Promise<nbd.Family> {
    if (this.#family !== null) return this.#family;
    const answer = await this.#exchange(
      nbd.familyRequest(nbd.FAMILY_NAME, ++this.#sequence),
      'find the NBD client of the kernel',
    );
    return (this.#family = nbd.readFamily(answer, nbd.GROUP_NAME));
  }

  /** The index of the new device. The descriptors may be closed then. Error INVALID_STATE: that index is in use. */
  async connect(fields: nbd.NbdAttributes): Promise<number> {
    const answer = await this.#command(nbd.CONNECT, fields, 'connect an NBD device', { descriptors: fields.sockets ?? [] });
    const index = nbd.readIndex(answer, nbd.CONNECT);
    if (index === null) throw new PfError('PROTOCOL_ERROR', 'the kernel connected an NBD device, but does not name it');
    return index;
  }

  /** Fills dead sockets of a connected device; sockets for which there is no room are dropped by the kernel without a word. */
  async reconnect(index: number, sockets: readonly number[], backend: string | null): Promise<void> {
    const fields = { index, sockets, ...(backend === null ? {} : { backend }) };
    await this.#command(nbd.RECONFIGURE, fields, `reconnect /dev/nbd${index}`, { descriptors: sockets });
  }

  /** Only while requests of the device are answered: the kernel may wait for them and hold the device until they are. */
  async resize(index: number, sizeBytes: number, backend: string | null): Promise<void> {
    const fields = { index, sizeBytes, ...(backend === null ? {} : { backend }) };
    await this.#command(nbd.RECONFIGURE, fields, `resize /dev/nbd${index} to ${sizeBytes} bytes`);
  }

  /** With `claim`: error INVALID_STATE, and nothing done, when somebody has mounted the device or claimed it. */
  async disconnect(index: number, claim: string | null): Promise<void> {
    await this.#command(nbd.DISCONNECT, { index }, `disconnect /dev/nbd${index}`, claim === null ? {} : { claim });
  }

  /** Null when the kernel does not know that index. */
  async status(index: number): Promise<nbd.DeviceStatus | null> {
    const answer = await this.#command(nbd.STATUS, { index }, `ask for the state of /dev/nbd${index}`);
    return nbd.readStatus(answer).find((each) => each.index === index) ?? null;
  }

  /** `onDead` gets the index of a device that has lost a socket; null: some announcements were lost. */
  async listen(onDead: (index: number | null) => void): Promise<NetlinkListener> {
    const { groupId } = await this.family();
    if (groupId === null) throw new PfError('UNSUPPORTED', `the kernel's NBD client has no group ${nbd.GROUP_NAME}`);
    return this.#kernel.listenNetlink(groupId, (bytes) => {
      if (bytes.length === 0) return onDead(null);
      for (const index of nbd.readDeadLinks(decodeAnswer(bytes))) onDead(index);
    });
  }

  async #command(command: number, fields: nbd.NbdAttributes, action: string, options: NetlinkOptions = {}): Promise<Answer> {
    const family = await this.family();
    return this.#exchange(nbd.nbdRequest(family, command, ++this.#sequence, fields), action, options);
  }

  async #exchange(request: RequestFields, action: string, options: NetlinkOptions = {}): Promise<Answer> {
    const exchange = this.#kernel.exchangeNetlink(encodeRequest(request), options);
    const answer = decodeAnswer(await this.#within(exchange, action));
    if (answer.errno === 0) return answer;
    const code = answer.errno === null ? 'PROTOCOL_ERROR' : (ERROR_CODES[answer.errno] ?? 'IO_ERROR');
    const said = answer.reason === '' ? '' : `: "${answer.reason}"`;
    throw new PfError(code, `cannot ${action}: the kernel refuses with errno ${answer.errno}${said}`);
  }

  async #within<T>(promise: Promise<T>, action: string): Promise<T> {
    const late = Promise.withResolvers<never>();
    const timer = this.#clock.after(PATIENCE_MS, () =>
      late.reject(new PfError('TIMEOUT', `cannot ${action}: the kernel has not answered within ${PATIENCE_MS / 1000} s`)),
    );
    try {
      return await Promise.race([promise, late.promise]);
    } finally {
      timer.cancel();
    }
  }
}
