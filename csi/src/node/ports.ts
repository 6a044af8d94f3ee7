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

/** Of whichever volume of this node shows in a mount. A pfnbd that does not answer hinders nobody from taking mounts away. */
export async function devicesByVolume(ports: NodePorts): Promise<ReadonlyMap<string, NodeDevice>> {
  const found = new Map<string, NodeDevice>();
  for (const volume of await listOrNothing(ports)) {
    const device = volume.device === '' ? null : await ports.host.blockDevice(volume.device);
    if (device !== null) found.set(volume.volume_name, { path: volume.device, ...device });
  }
  return found;
}

async function listOrNothing({ attacher, log }: NodePorts): Promise<readonly AttachedVolume[]> {
  try {
    return await attacher.list();
  } catch (error) {
    if (!(error instanceof PfError)) throw error;
    log.warn('pfnbd does not say which volumes are attached: going on without', { error: formatErrorChain(error) });
    return [];
  }
}
