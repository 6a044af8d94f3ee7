// Block devices by name, as programs take them on the command line: "memory:1G", "file:/path", "volume:NAME". One row of the table per
// kind; whoever can open another kind of device adds a row. Used by nbd-serve.
import { PfError } from '../base/errors.ts';
import { formatSize, parseSize } from '../base/sizes.ts';
import type { BlockDevice } from '../block/device.ts';
import { DiskDevice } from '../block/disk-device.ts';
import { MemoryDevice, type SharedContents } from '../block/memory-device.ts';
import { UnalignedDevice } from '../block/unaligned-device.ts';
import { openVolume, type OpenVolumeRequest } from '../volume/volume-device.ts';
import type { World } from '../world/world.ts';
import { suggestionFor } from './flags.ts';

export interface BlockSource {
  /** As shown to people: "memory:1G (1 GiB)". */
  readonly title: string;
  /** The device takes requests of any alignment. */
  readonly device: BlockDevice;
}

export interface BlockSourceOptions {
  readonly isReadOnly: boolean;
  /** For memory: the bytes that all threads of a program share. */
  readonly shared?: SharedContents;
  /** For volumes: the cluster's conductors, "host:port" each. */
  readonly conductors?: readonly string[];
  /** For volumes: who has it attached, as the conductor remembers it. */
  readonly client?: string;
  /** For volumes: TCP connections to each store. */
  readonly connections?: number;
  /** For volumes: a store in this process. */
  readonly localLink?: LocalLink;
}

type LocalLink = NonNullable<OpenVolumeRequest['localLink']>;

type Opener = (world: World, rest: string, options: BlockSourceOptions) => Promise<BlockDevice>;

const OPENERS: Readonly<Record<string, Opener>> = {
  memory: openMemory,
  file: openFile,
  volume: openVolumeByName,
};

/** Errors: INVALID_ARGUMENT for an unknown kind or a bad size, and those of opening. */
export async function openBlockSource(world: World, source: string, options: BlockSourceOptions): Promise<BlockSource> {
  const [kind, rest] = splitSource(source);
  const device = await OPENERS[kind]!(world, rest, options);
  return { title: `${source} (${formatSize(device.sizeBytes)})`, device };
}

/** The size of a "memory:SIZE" source; null for every other kind. */
export function memorySourceBytes(source: string): number | null {
  const [kind, rest] = splitSource(source);
  return kind === 'memory' ? parseSize(rest) : null;
}

function splitSource(source: string): [kind: string, rest: string] {
  const colon = source.indexOf(':');
  const kind = colon < 0 ? source : source.slice(0, colon);
  const rest = colon < 0 ? '' : source.slice(colon + 1);
  if (OPENERS[kind] === undefined || rest === '') {
    const nearest = suggestionFor(kind, Object.keys(OPENERS));
    const advice =
      nearest === null ? 'such as memory:1G, file:/var/lib/disk.img or volume:test_v1' : `did you mean ${nearest}:...?`;
    throw new PfError(
      'INVALID_ARGUMENT',
      `cannot open "${source}": wanted ${Object.keys(OPENERS).join(':..., ')}:..., ${advice}`,
    );
  }
  return [kind, rest];
}

async function openMemory(world: World, rest: string, options: BlockSourceOptions): Promise<BlockDevice> {
  return new MemoryDevice(world.memory, { ...options, sizeBytes: parseSize(rest) });
}

async function openFile(world: World, path: string, { isReadOnly }: BlockSourceOptions): Promise<BlockDevice> {
  const disk = await world.disks.open(path, { isReadOnly });
  const device = new DiskDevice(world.memory, disk, { isReadOnly });
  return device.minimumIoBytes === 1 ? device : new UnalignedDevice(world.memory, device);
}

async function openVolumeByName(world: World, name: string, options: BlockSourceOptions): Promise<BlockDevice> {
  const device = await openVolume(world, {
    name,
    conductors: options.conductors ?? [],
    isReadOnly: options.isReadOnly,
    ...(options.client === undefined ? {} : { client: options.client }),
    ...(options.connections === undefined ? {} : { connections: options.connections }),
    ...(options.localLink === undefined ? {} : { localLink: options.localLink }),
  });
  return new UnalignedDevice(world.memory, device);
}
