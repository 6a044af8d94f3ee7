// NodeGetVolumeStats: how full a volume is, and whether it is well. Called by node.ts, without a lock: it only looks.
import { PfError, formatErrorChain } from '@pureflash/datapath/base';
import type { AttachedVolume } from './attacher.ts';
import type { Mount, Usage } from './host.ts';
import { hasStoppedWriting, isNodeOf, isReadOnlyMount, topMountAt } from './mount-table.ts';
import type { NodePorts } from './ports.ts';

export interface StatsRequest {
  readonly volumeId: string;
  /** Checked: a staging path or a target. */
  readonly volumePath: string;
}

export interface Stats {
  /** Of a filesystem; null for raw block, and when it does not say. */
  readonly usage: Usage | null;
  /** Of raw block, else null. */
  readonly blockBytes: number | null;
  /** What is wrong, in words; null: all is well. */
  readonly complaint: string | null;
}

/** Error NOT_FOUND: this volume is not at that path. */
export async function volumeStats(ports: NodePorts, { volumeId, volumePath }: StatsRequest): Promise<Stats> {
  const mount = topMountAt(await ports.host.mounts(), volumePath);
  if (mount === undefined)
    throw new PfError('NOT_FOUND', `volume "${volumeId}" is not at ${volumePath}: nothing is mounted there`);
  const { attached, device, complaint } = await askAttacher(ports, volumeId);
  if (device === null) return await staleStats(ports, volumeId, mount, complaint ?? conditionOf(attached, mount));
  if (await isNodeOf(ports.host, mount, device.number)) {
    return { usage: null, blockBytes: device.sizeBytes, complaint: conditionOf(attached, null) };
  }
  if (mount.device !== device.number) {
    throw new PfError('NOT_FOUND', `volume "${volumeId}" is not at ${volumePath}: ${mount.source} is mounted there`);
  }
  return await filesystemStats(ports, mount, conditionOf(attached, mount));
}

interface Asked {
  readonly attached: AttachedVolume | null;
  readonly device: { readonly number: string; readonly sizeBytes: number } | null;
  readonly complaint: string | null;
}

/** A pfnbd that does not answer is a finding, not a failure of this call. */
async function askAttacher(ports: NodePorts, volumeId: string): Promise<Asked> {
  try {
    const attached = (await ports.attacher.list()).find((volume) => volume.volume_name === volumeId) ?? null;
    const device = attached === null || attached.device === '' ? null : await ports.host.blockDevice(attached.device);
    return { attached, device, complaint: null };
  } catch (error) {
    if (!(error instanceof PfError)) throw error;
    return { attached: null, device: null, complaint: `pfnbd does not answer: ${formatErrorChain(error)}` };
  }
}

/** Mounted, and without a device that pfnbd would know: said to be this volume by the record only. */
async function staleStats(ports: NodePorts, volumeId: string, mount: Mount, complaint: string | null): Promise<Stats> {
  const record = await ports.records.load(volumeId);
  if (record === null) throw new PfError('NOT_FOUND', `volume "${volumeId}" is not on this node`);
  if (mount.root !== '/') return { usage: null, blockBytes: 0, complaint };
  return await filesystemStats(ports, mount, complaint);
}

async function filesystemStats(ports: NodePorts, mount: Mount, complaint: string | null): Promise<Stats> {
  try {
    return { usage: await ports.host.usage(mount.path), blockBytes: null, complaint };
  } catch (error) {
    if (!(error instanceof PfError)) throw error;
    return {
      usage: null,
      blockBytes: null,
      complaint: complaint ?? `its filesystem does not answer: ${formatErrorChain(error)}`,
    };
  }
}

function conditionOf(attached: AttachedVolume | null, mount: Mount | null): string | null {
  if (attached === null) return 'pfnbd does not serve it on this node: unstage it and stage it again';
  const because = attached.problem === undefined ? '' : ` (${attached.problem})`;
  if (attached.state === 'OVER')
    return `its attachment to this node has ended, so every request fails: end its pods here, and it is unstaged and attached anew${because}`;
  if (attached.state === 'STARTING') return `pfnbd is taking it over from an earlier instance: requests wait${because}`;
  if (mount === null || attached.read_only || isReadOnlyMount(mount) || !hasStoppedWriting(mount)) return null;
  return 'its filesystem has stopped writing after errors: unpublish it everywhere, so that it is checked when it is staged again';
}
