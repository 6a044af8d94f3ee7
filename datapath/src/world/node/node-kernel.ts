// The kernel port over the native addon's errands, each of which has a thread of its own.
import { getSystemErrorName } from 'node:util';
import { PfError } from '../../base/errors.ts';
import type { Kernel, NetlinkListener, NetlinkOptions } from '../kernel.ts';
import { nativeError, type NativeKernel } from './native-addon.ts';
import { toPfError } from './system-error.ts';

const DEFAULT_TIMEOUT_MS = 10_000;

export class NodeKernel implements Kernel {
  readonly #addon: NativeKernel;
  readonly #ioMemory: ArrayBuffer;
  readonly #listeners = new Set<NetlinkListener>();

  constructor(addon: NativeKernel, ioMemory: ArrayBuffer) {
    this.#addon = addon;
    this.#ioMemory = ioMemory;
  }

  async exchangeNetlink(request: Uint8Array, options: NetlinkOptions = {}): Promise<Uint8Array> {
    const { descriptors = [], claim = '', timeoutMs = DEFAULT_TIMEOUT_MS } = options;
    const answer = await this.#addon.exchangeNetlink(request, [...descriptors], claim, timeoutMs);
    if (typeof answer !== 'number') return new Uint8Array(answer);
    const claiming = claim === '' ? '' : ` with ${claim} claimed`;
    throw toPfError(nativeError(answer, 'netlink'), `cannot send a message to generic netlink${claiming}`);
  }

  listenNetlink(group: number, onMessages: (bytes: Uint8Array) => void): NetlinkListener {
    const handle = this.#addon.openNetlinkGroup(group, (bytes) => onMessages(new Uint8Array(bytes)));
    if (typeof handle === 'number') throw toPfError(nativeError(handle, 'netlink'), `cannot hear netlink group ${group}`);
    let isOpen = true;
    const listener: NetlinkListener = {
      close: () => {
        if (!isOpen) return;
        isOpen = false;
        this.#listeners.delete(listener);
        this.#addon.closeNetlinkGroup(handle);
      },
    };
    this.#listeners.add(listener);
    return listener;
  }

  async writeAttribute(path: string, text: string): Promise<void> {
    if (path.includes('\0') || text.length > 255)
      throw new PfError('INVALID_ARGUMENT', `cannot write ${text.length} characters to ${path}`);
    const result = await this.#addon.writeAttribute(path, text);
    if (result !== 0) throw toPfError(nativeError(result, 'write'), `cannot write "${text}" to ${path}`);
  }

  guardMemory(): readonly string[] {
    const lacks: string[] = [];
    const flusher = this.#addon.setIoFlusher();
    if (flusher !== 0)
      lacks.push(`allocations may wait for devices (${getSystemErrorName(flusher)}: CAP_SYS_RESOURCE is wanted)`);
    const lock = this.#addon.lockMemory(this.#ioMemory);
    if (lock !== 0) lacks.push(`I/O memory may be paged out (${getSystemErrorName(lock)}: CAP_IPC_LOCK is wanted)`);
    return lacks;
  }

  close(): void {
    for (const listener of this.#listeners) listener.close();
  }
}
