// NodePublish and NodeUnpublish: a staged volume shows at a pod's target path, as a bind mount of its filesystem or of its device node.
// Called by node.ts, one call a volume at a time. A read-only target takes two steps (bind, then remount), so that it is one is written
// down before the first: who finds it half made finishes it, and never takes it for a target that was published for writing.
import { PfError } from '@pureflash/datapath/base';
import type { Wanted } from '../calls/capability.ts';
import type { Mount } from './host.ts';
import { isNodeOf, isReadOnlyMount, publicationsOf, refuseForeign, topMountAt, unmountAll } from './mount-table.ts';
import { attachedDevices, deviceOf, findAttached, type NodeDevice, type NodePorts } from './ports.ts';
import { emptyRecord, type VolumeRecord } from './volume-record.ts';

export interface PublishRequest {
  readonly volumeId: string;
  /** Both checked. */
  readonly stagePath: string;
  readonly targetPath: string;
  readonly wanted: Wanted;
  readonly isReadOnly: boolean;
}

export interface UnpublishRequest {
  readonly volumeId: string;
  readonly targetPath: string;
}

/** Errors: INVALID_STATE (not staged; a second target of a volume for one), ALREADY_EXISTS (published there in another way), UNAVAILABLE. */
export async function publishVolume(ports: NodePorts, request: PublishRequest): Promise<void> {
  const { host } = ports;
  const { volumeId, stagePath, targetPath, wanted } = request;
  if (targetPath === stagePath)
    throw new PfError('INVALID_ARGUMENT', `target_path and staging_target_path are both ${targetPath}`);
  const attached = await findAttached(ports, volumeId);
  if (attached === null) throw notStaged(request, 'it is not attached to this node');
  if (attached.state === 'OVER')
    throw notStaged(request, 'its attachment to this node has ended, every request fails; unstage it');
  const device = await deviceOf(ports, attached);
  const mounts = await host.mounts();
  const staged = topMountAt(mounts, stagePath);
  const isStagedHere = staged?.device === device.number;
  if (wanted.filesystem !== null && !isStagedHere)
    throw notStaged(request, `${staged?.source ?? 'nothing'} is mounted at ${stagePath}`);
  if (wanted.filesystem === null && isStagedHere)
    throw notStaged(request, `its filesystem is mounted at ${stagePath}, and raw block is wanted`);

  const record = (await ports.records.load(volumeId)) ?? emptyRecord(attached.attachment);
  const there = topMountAt(mounts, targetPath);
  // A read-only staging mount makes every bind of it read-only.
  const isReadOnly = request.isReadOnly || (isStagedHere && isReadOnlyMount(staged));
  if (there !== undefined) return await acceptPublished(ports, { ...request, isReadOnly }, there, device, record);
  if (wanted.isForOneTarget) await refuseSecondTarget(ports, request, mounts, device);
  if (isReadOnly) await rememberReadOnly(ports, volumeId, targetPath, record);
  if (wanted.filesystem === null) await host.makeFile(targetPath);
  else await host.makeFolder(targetPath);
  await host.bindMount(wanted.filesystem === null ? device.path : stagePath, targetPath);
  if (isReadOnly) await host.remountReadOnly(targetPath);
  await verifyPublished(ports, { ...request, isReadOnly }, device);
}

/** Errors: INVALID_STATE while it is in use, or when something that is not ours lies at the path. Unknown volumes and paths are fine. */
export async function unpublishVolume(ports: NodePorts, { volumeId, targetPath }: UnpublishRequest): Promise<void> {
  const { host } = ports;
  const record = await ports.records.load(volumeId);
  if (record?.staged?.path === targetPath) {
    throw new PfError('INVALID_ARGUMENT', `${targetPath} is the staging path of volume "${volumeId}": unstage it instead`);
  }
  refuseForeign(await host.mounts(), targetPath);
  await refuseOthersTarget(ports, volumeId, targetPath);
  await unmountAll(host, targetPath);
  await removeTarget(ports, targetPath);
  if (record?.readOnlyTargets.includes(targetPath)) {
    await ports.records.save(volumeId, {
      ...record,
      readOnlyTargets: record.readOnlyTargets.filter((path) => path !== targetPath),
    });
  }
}

/** Something is mounted at the target: the same thing in the same way is fine, and what was begun is finished. */
async function acceptPublished(
  ports: NodePorts,
  request: PublishRequest,
  there: Mount,
  device: NodeDevice,
  record: VolumeRecord,
): Promise<void> {
  const { targetPath, wanted, volumeId } = request;
  const isSame =
    wanted.filesystem === null
      ? await isNodeOf(ports.host, there, device.number)
      : there.device === device.number && there.root === '/';
  if (!isSame)
    throw new PfError('ALREADY_EXISTS', `cannot publish volume "${volumeId}" at ${targetPath}: ${there.source} is mounted there`);
  if (isReadOnlyMount(there) === request.isReadOnly) return;
  if (request.isReadOnly && record.readOnlyTargets.includes(targetPath)) {
    await ports.host.remountReadOnly(targetPath);
    return await verifyPublished(ports, request, device);
  }
  const now = request.isReadOnly ? 'for writing' : 'read-only';
  throw new PfError('ALREADY_EXISTS', `volume "${volumeId}" is published at ${targetPath} ${now}; unpublish it first`);
}

async function refuseSecondTarget(
  ports: NodePorts,
  request: PublishRequest,
  mounts: readonly Mount[],
  device: NodeDevice,
): Promise<void> {
  const others = await publicationsOf(ports, mounts, device);
  const other = others.find(({ path }) => path !== request.stagePath && path !== request.targetPath);
  if (other === undefined) return;
  throw new PfError(
    'INVALID_STATE',
    `cannot publish volume "${request.volumeId}" at ${request.targetPath}: it is for one pod (ReadWriteOncePod) and published at ${other.path}`,
  );
}

async function rememberReadOnly(ports: NodePorts, volumeId: string, targetPath: string, record: VolumeRecord): Promise<void> {
  if (record.readOnlyTargets.includes(targetPath)) return;
  await ports.records.save(volumeId, { ...record, readOnlyTargets: [...record.readOnlyTargets, targetPath] });
}

async function verifyPublished(ports: NodePorts, request: PublishRequest, device: NodeDevice): Promise<void> {
  const { targetPath, wanted, isReadOnly } = request;
  const there = topMountAt(await ports.host.mounts(), targetPath);
  const isShown =
    there !== undefined &&
    (wanted.filesystem === null ? await isNodeOf(ports.host, there, device.number) : there.device === device.number);
  if (isShown && isReadOnlyMount(there) === isReadOnly) return;
  throw new PfError(
    'INTERNAL',
    `mount at ${targetPath} claimed success, but the kernel lists ${there?.source ?? 'nothing'} (${there?.options.join(',') ?? ''})`,
  );
}

/** By mistake or malice: a target where another volume is published. */
async function refuseOthersTarget(ports: NodePorts, volumeId: string, targetPath: string): Promise<void> {
  const there = topMountAt(await ports.host.mounts(), targetPath);
  if (there === undefined) return;
  for (const [name, device] of (await attachedDevices(ports))?.devices ?? []) {
    if (name === volumeId) continue;
    if (there.device !== device.number && !(await isNodeOf(ports.host, there, device.number))) continue;
    throw new PfError('INVALID_ARGUMENT', `${targetPath} is where volume "${name}" is published, not "${volumeId}"`);
  }
}

/** Only what publishing made: an empty folder or an empty file. */
async function removeTarget(ports: NodePorts, targetPath: string): Promise<void> {
  const { kind, sizeBytes } = await ports.host.look(targetPath);
  if (kind === 'missing') return;
  if (kind === 'folder') return await ports.host.removeFolder(targetPath);
  if (kind === 'file' && sizeBytes === 0) return await ports.host.removeFile(targetPath);
  const what = kind === 'file' ? `a file of ${sizeBytes} bytes` : `a ${kind}`;
  throw new PfError(
    'INVALID_STATE',
    `cannot remove the target ${targetPath}: it is ${what}, which this driver did not make; remove it by hand`,
  );
}

function notStaged({ volumeId, targetPath }: PublishRequest, why: string): PfError {
  return new PfError('INVALID_STATE', `cannot publish volume "${volumeId}" at ${targetPath}: it is not staged for that: ${why}`);
}
