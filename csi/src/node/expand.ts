// NodeExpand: the kernel device takes the volume's new size, then the mounted filesystem the device's. Called by node.ts.
import { PfError, formatSize } from '@pureflash/datapath/base';
import { FS_TYPES } from '../calls/capability.ts';
import { isNodeOf, isReadOnlyMount, topMountAt } from './mount-table.ts';
import { deviceOf, findAttached, type NodePorts } from './ports.ts';

export interface ExpandRequest {
  readonly volumeId: string;
  /** Checked: a staging path or a target, of either kind. */
  readonly volumePath: string;
  /** Raw block whose staging folder is named: nothing is mounted there. Null: not said. */
  readonly isBlock: boolean | null;
  /** 0: not said. */
  readonly requiredBytes: number;
}

/** Resolves with the size in bytes. Errors: NOT_FOUND (not attached, or not at that path), OUT_OF_RANGE (the volume is smaller). */
export async function expandVolume(ports: NodePorts, request: ExpandRequest): Promise<number> {
  const { volumeId, volumePath, requiredBytes } = request;
  const before = await findAttached(ports, volumeId);
  if (before === null) throw new PfError('NOT_FOUND', `cannot expand volume "${volumeId}": it is not attached to this node`);
  const old = await deviceOf(ports, before);
  const mount = topMountAt(await ports.host.mounts(), volumePath);
  const isFilesystem = mount?.device === old.number;
  const isNode = mount !== undefined && !isFilesystem && (await isNodeOf(ports.host, mount, old.number));
  if (!isFilesystem && !isNode && !(mount === undefined && request.isBlock === true)) {
    throw new PfError('NOT_FOUND', `cannot expand volume "${volumeId}": it is not at ${volumePath}`);
  }
  const attached = await ports.attacher.resize(volumeId);
  const device = await deviceOf(ports, attached);
  if (device.sizeBytes < requiredBytes) {
    throw new PfError(
      'OUT_OF_RANGE',
      `volume "${volumeId}" has ${formatSize(device.sizeBytes)} on this node, ${formatSize(requiredBytes)} wanted; expand the volume itself first`,
    );
  }
  const fsType = FS_TYPES.find((known) => known === mount?.fsType);
  // A read-only mount cannot grow; the next one that writes does, when it is staged.
  const isWritable = isFilesystem && !attached.read_only && !isReadOnlyFilesystem(mount.superOptions);
  if (isWritable && fsType !== undefined) await ports.host.grow(device.path, volumePath, fsType);
  else if (isFilesystem && isReadOnlyMount(mount)) ports.log.info('a read-only filesystem keeps its size', { volume: volumeId });
  return device.sizeBytes;
}

function isReadOnlyFilesystem(superOptions: readonly string[]): boolean {
  return superOptions.includes('ro');
}
