// What every step of the node service works with.
import type { Logger } from '@pureflash/datapath/world';
import { PfError, formatErrorChain } from '@pureflash/datapath/base';
import type { AttachedVolume, Attacher } from './attacher.ts';
import type { Host } from './host.ts';
import type { KubeletPaths } from './paths.ts';
import type { VolumeRecords } from './volume-record.ts';

export interface NodePorts {
  readonly host: Host;
  readonly attacher: Attacher;
  readonly records: VolumeRecords;
  readonly paths: KubeletPaths;
  readonly log: Logger;
}

/** A volume's kernel device on this node. */
export interface NodeDevice {
  readonly path: string;
  /** "43:96", as mounts name it. */
  readonly number: string;
  readonly sizeBytes: number;
}

export async function findAttached(ports: NodePorts, volumeId: string): Promise<AttachedVolume | null> {
  return (await ports.attacher.list()).find((volume) => volume.volume_name === volumeId) ?? null;
}

/** Error UNAVAILABLE while there is no device to be seen: it may come, so the call is worth repeating. */
export async function deviceOf(ports: NodePorts, attached: AttachedVolume): Promise<NodeDevice> {
  const found = attached.device === '' ? null : await ports.host.blockDevice(attached.device);
  if (found !== null) return { path: attached.device, ...found };
  const why =
    attached.device === '' ? 'pfnbd is taking it over from an earlier instance' : `${attached.device} is no block device here`;
  throw new PfError('UNAVAILABLE', `volume "${attached.volume_name}" has no device on this node yet: ${why}; try again`);
}

export interface AttachedDevices {
  /** Of each attached volume whose device can be seen. */
  readonly devices: ReadonlyMap<string, NodeDevice>;
  /** Attached volumes of which nobody can say which device they have. */
  readonly unseen: ReadonlySet<string>;
}

/** Null: pfnbd does not answer. Mounts may be taken away without it; what it has attached must not be. */
export async function attachedDevices({ attacher, host, log }: NodePorts): Promise<AttachedDevices | null> {
  let listed: readonly AttachedVolume[];
  try {
    listed = await attacher.list();
  } catch (error) {
    if (!(error instanceof PfError)) throw error;
    log.warn('pfnbd does not say which volumes are attached: going on without', { error: formatErrorChain(error) });
    return null;
  }
  const devices = new Map<string, NodeDevice>();
  const unseen = new Set<string>();
  for (const volume of listed) {
    const device = volume.device === '' ? null : await host.blockDevice(volume.device);
    if (device === null) unseen.add(volume.volume_name);
    else devices.set(volume.volume_name, { path: volume.device, ...device });
  }
  return { devices, unseen };
}
