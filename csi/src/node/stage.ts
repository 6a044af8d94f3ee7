// NodeStage and NodeUnstage: a volume becomes a kernel device, and its filesystem a mount at the staging path.
//
//   nothing --attach--> device --format if blank, check--> filesystem --mount--> staged --grow if the device is larger--> staged
//      ^                                                                          |
//      +---------------------- detach <-- device <----------- unmount ------------+
//
// Called by node.ts, one call a volume at a time. Every arrow finds out by itself whether it was gone before: after death at any step
// the same call ends in the same state. Only mkfs leaves something that cannot be told apart, hence the record around it.
import { PfError, errorCodeOf } from '@pureflash/datapath/base';
import type { Wanted, WantedFilesystem } from '../calls/capability.ts';
import { mayBeBlank, planFilesystem } from './filesystem-plan.ts';
import type { FsType, Mount } from './host.ts';
import { isReadOnlyMount, publicationsOf, refuseForeign, topMountAt, unmountAll } from './mount-table.ts';
import { attachedDevices, deviceOf, findAttached, type NodeDevice, type NodePorts } from './ports.ts';
import { filesystemBytes, isBlank } from './superblock.ts';
import { emptyRecord, type Staged, type VolumeRecord } from './volume-record.ts';

export interface StageRequest {
  readonly volumeId: string;
  /** Checked. */
  readonly stagePath: string;
  readonly wanted: Wanted;
  readonly attachment: number;
  /** The attachment is a reader's. */
  readonly isReadOnly: boolean;
}

export interface UnstageRequest {
  readonly volumeId: string;
  readonly stagePath: string;
}

/**
 * Errors: ALREADY_EXISTS (staged in another way), INVALID_STATE (it holds something else), CORRUPT (a person must repair it), FENCED (the
 * attachment is over), UNAVAILABLE, TIMEOUT (the device does not answer).
 */
export async function stageVolume(ports: NodePorts, request: StageRequest): Promise<void> {
  const { volumeId, wanted, attachment, isReadOnly } = request;
  const record = await recordOf(ports, request);
  await refuseOtherKind(ports, request, record);
  const attached = await ports.attacher.attach({ volume_name: volumeId, attachment, read_only: isReadOnly });
  const device = await deviceOf(ports, attached);
  const mounts = await ports.host.mounts();
  await refuseConflict(ports, request, mounts, device);
  if (wanted.filesystem !== null) await stageFilesystem(ports, request, wanted.filesystem, { device, mounts, record });
  await ports.records.save(volumeId, { ...record, formatting: null, staged: stagedAs(request) });
}

/**
 * Errors: INVALID_STATE while it is published or in use, or when something that is not ours lies at the path; UNAVAILABLE without pfnbd: the
 * mount goes all the same, but not the device, which may be published as raw block. A volume that nobody knows is fine.
 */
export async function unstageVolume(ports: NodePorts, { volumeId, stagePath }: UnstageRequest): Promise<void> {
  const attached = await attachedDevices(ports);
  const mounts = await ports.host.mounts();
  if (attached !== null) await refuseWhatIsUsed(ports, { volumeId, stagePath }, mounts, attached.devices);
  refuseForeign(mounts, stagePath);
  await unmountAll(ports.host, stagePath);
  if (attached === null || attached.unseen.has(volumeId)) {
    const why = attached === null ? 'pfnbd does not answer' : 'pfnbd is taking its device over from an earlier instance';
    throw new PfError(
      'UNAVAILABLE',
      `cannot detach volume "${volumeId}" yet: ${why}, so nobody can say where it is used; try again`,
    );
  }
  await ports.attacher.detach(volumeId);
  await ports.records.remove(volumeId);
}

async function refuseWhatIsUsed(
  ports: NodePorts,
  { volumeId, stagePath }: UnstageRequest,
  mounts: readonly Mount[],
  devices: ReadonlyMap<string, NodeDevice>,
): Promise<void> {
  const there = topMountAt(mounts, stagePath)?.device;
  const other = [...devices].find(([name, { number }]) => number === there && name !== volumeId);
  if (other !== undefined)
    throw new PfError('INVALID_ARGUMENT', `${stagePath} is where volume "${other[0]}" is staged, not "${volumeId}"`);
  const device = devices.get(volumeId);
  const publications = device === undefined ? [] : await publicationsOf(ports, mounts, device);
  const left = publications.find(({ path }) => path !== stagePath);
  if (left !== undefined)
    throw new PfError('INVALID_STATE', `cannot unstage volume "${volumeId}": it is still published at ${left.path}`);
}

/** What another attachment left behind says nothing about this one. */
async function recordOf(ports: NodePorts, { volumeId, attachment }: StageRequest): Promise<VolumeRecord> {
  const record = await ports.records.load(volumeId);
  return record !== null && record.attachment === attachment ? record : emptyRecord(attachment);
}

/** By the record: before pfnbd is asked for a device of the other kind. */
async function refuseOtherKind(ports: NodePorts, request: StageRequest, { staged }: VolumeRecord): Promise<void> {
  if (staged === null || isSameStage(staged, request)) return;
  const isThere = staged.isBlock
    ? (await findAttached(ports, request.volumeId))?.attachment === request.attachment
    : topMountAt(await ports.host.mounts(), staged.path) !== undefined;
  if (isThere)
    throw alreadyStaged(request, `${staged.isBlock ? 'as raw block' : 'as a filesystem'} at ${staged.path} with other options`);
}

/** By the kernel's list: also when there is no record. */
async function refuseConflict(
  ports: NodePorts,
  request: StageRequest,
  mounts: readonly Mount[],
  device: NodeDevice,
): Promise<void> {
  const { stagePath, wanted } = request;
  const there = topMountAt(mounts, stagePath);
  if (there !== undefined && there.device !== device.number) {
    throw new PfError(
      'INVALID_STATE',
      `cannot stage volume "${request.volumeId}" at ${stagePath}: ${there.source} is mounted there; unstage that first`,
    );
  }
  const publications = await publicationsOf(ports, mounts, device);
  const asFilesystem = publications.find(({ isBlock }) => !isBlock);
  const asBlock = publications.find(({ isBlock }) => isBlock);
  if (wanted.filesystem === null) {
    if (asFilesystem !== undefined) throw alreadyStaged(request, `as a filesystem at ${asFilesystem.path}`);
    return;
  }
  if (asBlock !== undefined) throw alreadyStaged(request, `as raw block at ${asBlock.path}`);
  if (there === undefined) {
    if (asFilesystem !== undefined) throw alreadyStaged(request, `at ${asFilesystem.path}`);
    return;
  }
  const { fsType } = wanted.filesystem;
  if (fsType !== null && there.fsType !== fsType) throw alreadyStaged(request, `as ${there.fsType}`);
  if (isReadOnlyMount(there) !== request.isReadOnly)
    throw alreadyStaged(request, request.isReadOnly ? 'for writing' : 'read-only');
}

interface Found {
  readonly device: NodeDevice;
  readonly mounts: readonly Mount[];
  readonly record: VolumeRecord;
}

async function stageFilesystem(ports: NodePorts, request: StageRequest, wanted: WantedFilesystem, found: Found): Promise<void> {
  const { host } = ports;
  const { stagePath } = request;
  const { device } = found;
  // The device answers, or nothing is begun on it.
  const head = await host.readHead(device.path);
  let fsType = topMountAt(found.mounts, stagePath)?.fsType as FsType | undefined;
  if (fsType === undefined) {
    fsType = await makeFilesystem(ports, request, wanted, found, head);
    await host.makeFolder(stagePath);
    await host.mount({ device: device.path, path: stagePath, fsType, options: mountOptions(wanted, fsType, request.isReadOnly) });
    await verifyMounted(ports, stagePath, device);
  }
  // Restored from something smaller, or expanded while nobody had it mounted. A new filesystem has the whole device, and no size in `head`.
  const sizeBytes = filesystemBytes(head, fsType);
  if (!request.isReadOnly && sizeBytes !== null && sizeBytes < device.sizeBytes) await host.grow(device.path, stagePath, fsType);
}

async function makeFilesystem(
  ports: NodePorts,
  request: StageRequest,
  wanted: WantedFilesystem,
  { device, record }: Found,
  head: Uint8Array,
): Promise<FsType> {
  const { host, records } = ports;
  const { volumeId, isReadOnly } = request;
  const seen = {
    signature: await host.signature(device.path),
    isHeadBlank: isBlank(head),
    unfinished: record.formatting,
    isReadOnly,
  };
  const isWritten = mayBeBlank(seen) && (await wasWritten(ports, volumeId));
  const plan = planFilesystem({ ...seen, volumeId, sizeBytes: device.sizeBytes, isWritten, wanted: wanted.fsType });
  if (plan.kind === 'use') {
    if (!isReadOnly) await host.check(device.path, plan.fsType);
    return plan.fsType;
  }
  if (!(await host.isFree(device.path))) {
    throw new PfError(
      'INVALID_STATE',
      `cannot format volume "${volumeId}": somebody holds ${device.path} (a mkfs that still runs, multipath, device mapper); try again`,
    );
  }
  await records.save(volumeId, { ...record, formatting: plan.fsType });
  // Dying from here on leaves a device that only the record tells from foreign data; it is then formatted once more.
  await host.format(device.path, plan.fsType, plan.isOverwriting);
  // Before the first mount: from now on there may be a user's data.
  await records.save(volumeId, { ...record, formatting: null });
  return plan.fsType;
}

/** Error INVALID_STATE: a pfnbd that cannot say, so nobody can. */
async function wasWritten({ attacher }: NodePorts, volumeId: string): Promise<boolean> {
  try {
    return await attacher.isWritten(volumeId);
  } catch (error) {
    if (errorCodeOf(error) !== 'UNSUPPORTED') throw error;
    throw new PfError(
      'INVALID_STATE',
      `cannot format volume "${volumeId}": pfnbd on this node is older than this driver and cannot say whether the volume holds data; restart pfnbd with the driver's version`,
      { cause: error },
    );
  }
}

async function verifyMounted(ports: NodePorts, path: string, device: NodeDevice): Promise<void> {
  const mount = topMountAt(await ports.host.mounts(), path);
  if (mount?.device === device.number) return;
  throw new PfError(
    'INTERNAL',
    `mount of ${device.path} at ${path} claimed success, but the kernel lists ${mount?.source ?? 'nothing'} there`,
  );
}

/** nouuid: a restored volume may be mounted beside the one that it is a copy of. */
function mountOptions(wanted: WantedFilesystem, fsType: FsType, isReadOnly: boolean): readonly string[] {
  const options = [...wanted.options, ...(fsType === 'xfs' ? ['nouuid'] : []), ...(isReadOnly ? ['ro'] : [])];
  return [...new Set(options)];
}

function stagedAs({ stagePath, wanted, isReadOnly }: StageRequest): Staged {
  return { path: stagePath, isBlock: wanted.filesystem === null, options: wanted.filesystem?.options ?? [], isReadOnly };
}

function isSameStage(staged: Staged, request: StageRequest): boolean {
  return JSON.stringify(staged) === JSON.stringify(stagedAs(request));
}

function alreadyStaged({ volumeId }: StageRequest, how: string): PfError {
  return new PfError('ALREADY_EXISTS', `volume "${volumeId}" is staged on this node already, ${how}; unstage it first`);
}
