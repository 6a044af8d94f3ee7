// The real world: opens every port on Node, with io_uring under sockets and disks where the kernel and the addon allow it,
// and libuv where not. Called by bin/ and by tests; one world per thread.
import { createHash } from 'node:crypto';
import { crc32c } from '../../base/crc32c.ts';
import { errorCodeOf, formatErrorChain } from '../../base/errors.ts';
import { Arena, DEFAULT_ARENA_BYTES } from '../arena.ts';
import type { Turn } from '../clock.ts';
import type { Disks } from '../disk.ts';
import type { Logger } from '../log.ts';
import type { IoMemory } from '../memory.ts';
import type { Network } from '../network.ts';
import type { UblkQueue } from '../ublk.ts';
import { TurnQueue } from '../turn-queue.ts';
import type { World } from '../world.ts';
import { mapArena } from './arena-mapping.ts';
import { jsonLogger } from './console-log.ts';
import type { OwnedFuseChannel } from './fuse-descriptor.ts';
import { LibuvDisks } from './libuv-disk.ts';
import { LibuvFuseChannel } from './libuv-fuse.ts';
import { LibuvNetwork } from './libuv-network.ts';
import { loadNativeAddon, unsupported, type LoadedAddon, type NativeUblkDevice } from './native-addon.ts';
import { NodeClock } from './node-clock.ts';
import { NodeFiles } from './node-files.ts';
import { NodeFuse } from './node-fuse.ts';
import { NodeHttp } from './node-http.ts';
import { NodeKernel } from './node-kernel.ts';
import { NodeLoopDevices } from './node-loop-devices.ts';
import { NodeProcesses } from './node-processes.ts';
import { NodeRandom } from './node-random.ts';
import { NodeUblk } from './node-ublk.ts';
import { Ring } from './ring.ts';
import { RingDisks } from './ring-disk.ts';
import { RingFuseChannel } from './ring-fuse.ts';
import { RingNetwork } from './ring-network.ts';
import { RingUblkQueue } from './ring-ublk.ts';

export interface NodeWorldOptions {
  /** Default 'auto': io_uring where it works. PF_PORTS in the environment decides in place of 'auto'. */
  readonly ports?: 'io_uring' | 'libuv' | 'auto';
  /** Size of the I/O memory; pages are touched as they are used. Default 192 MiB. */
  readonly memoryBytes?: number;
  /** How long the thread may poll for the next completion before it sleeps, with io_uring. Default 0: never. */
  readonly busyPollUs?: number;
  /** Default: JSON lines on standard error. */
  readonly log?: Logger;
}

/** Errors: UNSUPPORTED when 'io_uring' is asked for and cannot be had. */
export async function openNodeWorld(options: NodeWorldOptions = {}): Promise<World> {
  const log = options.log ?? jsonLogger();
  const memoryBytes = options.memoryBytes ?? DEFAULT_ARENA_BYTES;
  const wanted = wantedPorts(options);
  const addon = loadNativeAddon();
  const native = 'reason' in addon ? null : addon;
  let ports: DataPorts | null = null;
  if (wanted !== 'libuv') {
    try {
      if ('reason' in addon) throw unsupported(addon.reason);
      ports = openRingPorts(addon, memoryBytes, options.busyPollUs);
    } catch (error) {
      if (wanted === 'io_uring' || errorCodeOf(error) !== 'UNSUPPORTED') throw error;
      log.warn(`${formatErrorChain(error)}; sockets and disks go through libuv, which is slower`);
    }
  }
  return assembleWorld(ports ?? openLibuvPorts(native, memoryBytes), native, log);
}

/** What differs between io_uring and libuv. */
interface DataPorts {
  readonly ports: 'io_uring' | 'libuv';
  readonly turn: Turn;
  readonly memory: IoMemory;
  readonly network: Network & { close(): Promise<void> };
  readonly disks: Disks & { close(): Promise<void> };
  /** Null without the addon. */
  readonly makeFuseChannel: ((fd: number) => OwnedFuseChannel) | null;
  /** Null without the addon, and on libuv. */
  readonly makeUblkQueue: ((device: NativeUblkDevice) => UblkQueue) | null;
  close(): void;
}

function wantedPorts(options: NodeWorldOptions): 'io_uring' | 'libuv' | 'auto' {
  if (options.ports !== undefined && options.ports !== 'auto') return options.ports;
  const fromEnvironment = process.env['PF_PORTS'];
  return fromEnvironment === 'io_uring' || fromEnvironment === 'libuv' ? fromEnvironment : 'auto';
}

function openLibuvPorts(addon: LoadedAddon | null, memoryBytes: number): DataPorts {
  const turn = new TurnQueue(() => setImmediate(() => turn.run()));
  const memory = new Arena(new ArrayBuffer(memoryBytes), addon?.crc32c ?? crc32c, turn);
  const network = new LibuvNetwork(memory, turn, addon);
  const disks = new LibuvDisks(memory, turn, addon?.tryFlock ?? null);
  const makeFuseChannel = addon && ((fd: number) => new LibuvFuseChannel(fd, addon, memory, turn));
  return { ports: 'libuv', turn, memory, network, disks, makeFuseChannel, makeUblkQueue: null, close() {} };
}

function openRingPorts(addon: LoadedAddon, memoryBytes: number, busyPollUs: number | undefined): DataPorts {
  const ring = Ring.acquire(addon);
  try {
    if (busyPollUs !== undefined) ring.pollBusily(busyPollUs);
    const turn = new TurnQueue(() => ring.wantTurn());
    const mapping = mapArena(addon, memoryBytes, turn);
    const network = new RingNetwork(ring, addon, mapping, turn);
    const disks = new RingDisks(ring, mapping, turn, addon.tryFlock);
    ring.addTurns(turn);
    const close = (): void => {
      ring.removeTurns(turn);
      ring.release();
    };
    const makeFuseChannel = (fd: number): OwnedFuseChannel => new RingFuseChannel(fd, { ring, addon, turn, ...mapping });
    const makeUblkQueue = (device: NativeUblkDevice): UblkQueue => new RingUblkQueue(device, { ring, addon, turn, ...mapping });
    return { ports: 'io_uring', turn, memory: mapping.memory, network, disks, makeFuseChannel, makeUblkQueue, close };
  } catch (error) {
    ring.release();
    throw error;
  }
}

function kernelPorts(data: DataPorts, addon: LoadedAddon | null): Pick<World, 'fuse' | 'loopDevices' | 'ublk'> {
  if (addon === null || data.makeFuseChannel === null) return {};
  const { makeUblkQueue } = data;
  return {
    fuse: new NodeFuse(addon, data.makeFuseChannel),
    loopDevices: new NodeLoopDevices(addon),
    ...(makeUblkQueue === null ? {} : { ublk: new NodeUblk(addon, makeUblkQueue) }),
  };
}

function assembleWorld(data: DataPorts, addon: LoadedAddon | null, log: Logger): World {
  const clock = new NodeClock();
  const files = new NodeFiles(addon?.tryFlock ?? null);
  const http = new NodeHttp();
  const processes = new NodeProcesses();
  const kernel = addon === null ? null : new NodeKernel(addon, data.memory.buffer);
  let closing: Promise<void> | null = null;
  const closeAll = async (): Promise<void> => {
    kernel?.close();
    await http.close();
    await data.network.close();
    await data.disks.close();
    data.close();
    await processes.close();
    await files.close();
    clock.stopAll();
  };
  return {
    ports: data.ports,
    clock,
    turn: data.turn,
    random: new NodeRandom(),
    memory: data.memory,
    disks: data.disks,
    network: data.network,
    http,
    files,
    processes,
    ...kernelPorts(data, addon),
    ...(kernel === null ? {} : { kernel }),
    log,
    sha256: (bytes) => createHash('sha256').update(bytes).digest('hex'),
    close: () => (closing ??= closeAll()),
  };
}
