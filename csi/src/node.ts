// The Node service: validate -> lock by volume -> do (node/) -> translate. Opened by bin/csi.ts; kubelet is its caller.
// Stateless but for the records of node/volume-record.ts: it may be killed at any moment, and pfnbd serves on.
import { PfError } from '@pureflash/datapath/base';
import type { Files, Logger } from '@pureflash/datapath/world';
import type {
  Node,
  NodeCapabilityName,
  NodeExpandVolumeRequest,
  NodeExpandVolumeResponse,
  NodeGetVolumeStatsRequest,
  NodeGetVolumeStatsResponse,
  NodePublishVolumeRequest,
  NodeStageVolumeRequest,
  NodeUnpublishVolumeRequest,
  NodeUnstageVolumeRequest,
} from './messages/node-service.ts';
import type { Draft } from './messages/description.ts';
import type { Attacher } from './node/attacher.ts';
import { readCapability } from './calls/capability.ts';
import { expandVolume } from './node/expand.ts';
import type { Host } from './node/host.ts';
import { KubeletPaths } from './node/paths.ts';
import type { NodePorts } from './node/ports.ts';
import { sharingComplaint } from './node/mount-table.ts';
import { publishVolume, unpublishVolume } from './node/publish.ts';
import { stageVolume, unstageVolume } from './node/stage.ts';
import { volumeStats } from './node/stats.ts';
import { VolumeLocks } from './calls/volume-locks.ts';
import { checkVolumeId, VolumeRecords } from './node/volume-record.ts';
import type { Handlers } from './rpc/grpc-server.ts';
import { RpcError } from './rpc/status.ts';

export interface NodeOptions {
  readonly host: Host;
  /** AttachClient, or what has its shape. */
  readonly attacher: Attacher;
  readonly files: Pick<Files, 'readStart' | 'replace' | 'remove' | 'makeFolder'>;
  readonly log: Logger;
  /** The node's name, which is also its name as a client of the conductor. */
  readonly nodeId: string;
  /** This plugin's own folder on the node's disk; made when missing. */
  readonly stateFolder: string;
  /** Staging and target paths lie below one of these; they exist. */
  readonly kubeletDirs: readonly string[];
  /** Default 0: no limit is claimed. What a node bears depends on its memory and on pfnbd's mapper, and its administrator knows. */
  readonly maxVolumes?: number;
  /** Of this node; default none. */
  readonly topology?: Readonly<Record<string, string>>;
}

const CAPABILITIES: readonly NodeCapabilityName[] = [
  'STAGE_UNSTAGE_VOLUME',
  'GET_VOLUME_STATS',
  'EXPAND_VOLUME',
  'VOLUME_CONDITION',
  'SINGLE_NODE_MULTI_WRITER',
];

/** Error INVALID_ARGUMENT for a kubelet directory that cannot be one. */
export async function openNodeHandlers(options: NodeOptions): Promise<Handlers<typeof Node>> {
  const { host, attacher, log } = options;
  const records = new VolumeRecords(options.files, options.stateFolder, log);
  await records.open();
  const paths = await KubeletPaths.open(host, options.kubeletDirs);
  const mounts = await host.mounts();
  for (const folder of paths.folders) {
    const complaint = sharingComplaint(mounts, folder);
    if (complaint !== null) log.warn(complaint);
  }
  const calls = new NodeCalls({ host, attacher, records, paths, log });
  const { topology } = options;
  return {
    nodeStageVolume: (request) => calls.stage(request),
    nodeUnstageVolume: (request) => calls.unstage(request),
    nodePublishVolume: (request) => calls.publish(request),
    nodeUnpublishVolume: (request) => calls.unpublish(request),
    nodeExpandVolume: (request) => calls.expand(request),
    nodeGetVolumeStats: (request) => calls.stats(request),
    nodeGetCapabilities: async () => ({ capabilities: CAPABILITIES.map((type) => ({ rpc: { type } })) }),
    nodeGetInfo: async () => ({
      nodeId: options.nodeId,
      maxVolumesPerNode: options.maxVolumes ?? 0,
      accessibleTopology: topology === undefined ? null : { segments: topology },
    }),
  };
}

class NodeCalls {
  readonly #ports: NodePorts;
  readonly #locks = new VolumeLocks();

  constructor(ports: NodePorts) {
    this.#ports = ports;
  }

  async stage(request: NodeStageVolumeRequest): Promise<object> {
    const volumeId = checkVolumeId(request.volumeId);
    const wanted = readCapability(request.volumeCapability);
    const stagePath = await this.#ports.paths.check(request.stagingTargetPath, 'staging_target_path');
    const attachment = readAttachment(request.publishContext);
    const isReadOnly = wanted.isReadOnly || request.publishContext['readOnly'] === 'true';
    const stage = { volumeId, stagePath, wanted, attachment, isReadOnly };
    await this.#locks.run(volumeId, 'NodeStageVolume', () => stageVolume(this.#ports, stage));
    return {};
  }

  async unstage(request: NodeUnstageVolumeRequest): Promise<object> {
    const volumeId = checkVolumeId(request.volumeId);
    const stagePath = await this.#ports.paths.check(request.stagingTargetPath, 'staging_target_path');
    await this.#locks.run(volumeId, 'NodeUnstageVolume', () => unstageVolume(this.#ports, { volumeId, stagePath }));
    return {};
  }

  async publish(request: NodePublishVolumeRequest): Promise<object> {
    const volumeId = checkVolumeId(request.volumeId);
    const wanted = readCapability(request.volumeCapability);
    const targetPath = await this.#ports.paths.check(request.targetPath, 'target_path');
    if (request.stagingTargetPath === '') {
      throw new RpcError(
        'FAILED_PRECONDITION',
        `volume "${volumeId}" is staged before it is published: staging_target_path is missing`,
      );
    }
    const stagePath = await this.#ports.paths.check(request.stagingTargetPath, 'staging_target_path');
    const isReadOnly = request.readonly || wanted.isReadOnly;
    const publish = { volumeId, stagePath, targetPath, wanted, isReadOnly };
    await this.#locks.run(volumeId, 'NodePublishVolume', () => publishVolume(this.#ports, publish));
    return {};
  }

  async unpublish(request: NodeUnpublishVolumeRequest): Promise<object> {
    const volumeId = checkVolumeId(request.volumeId);
    const targetPath = await this.#ports.paths.check(request.targetPath, 'target_path');
    await this.#locks.run(volumeId, 'NodeUnpublishVolume', () => unpublishVolume(this.#ports, { volumeId, targetPath }));
    return {};
  }

  async expand(request: NodeExpandVolumeRequest): Promise<Draft<NodeExpandVolumeResponse>> {
    const volumeId = checkVolumeId(request.volumeId);
    const volumePath = await this.#whereVolumesAre(request.volumePath);
    const capability = request.volumeCapability;
    const isBlock = capability === null ? null : capability.block !== null;
    const requiredBytes = request.capacityRange?.requiredBytes ?? 0;
    if (requiredBytes < 0)
      throw new PfError('INVALID_ARGUMENT', `capacity_range.required_bytes is ${requiredBytes}: 0 or more wanted`);
    const expand = { volumeId, volumePath, isBlock, requiredBytes };
    const capacityBytes = await this.#locks.run(volumeId, 'NodeExpandVolume', () => expandVolume(this.#ports, expand));
    return { capacityBytes };
  }

  async stats(request: NodeGetVolumeStatsRequest): Promise<Draft<NodeGetVolumeStatsResponse>> {
    const volumeId = checkVolumeId(request.volumeId);
    const volumePath = await this.#whereVolumesAre(request.volumePath);
    const { usage, blockBytes, complaint } = await volumeStats(this.#ports, { volumeId, volumePath });
    const volumeCondition = { abnormal: complaint !== null, message: complaint ?? 'the volume is well' };
    if (blockBytes !== null) return { usage: [{ unit: 'BYTES', total: blockBytes }], volumeCondition };
    if (usage === null) return { usage: [], volumeCondition };
    const bytes = { unit: 'BYTES', total: usage.totalBytes, available: usage.availableBytes, used: usage.usedBytes } as const;
    const inodes = {
      unit: 'INODES',
      total: usage.totalInodes,
      available: usage.availableInodes,
      used: usage.usedInodes,
    } as const;
    return { usage: [bytes, inodes], volumeCondition };
  }

  /** A path at which no volume can be is, to those who only ask, one at which none is. */
  async #whereVolumesAre(path: string): Promise<string> {
    try {
      return await this.#ports.paths.check(path, 'volume_path');
    } catch (error) {
      if (path === '' || !(error instanceof PfError) || error.code !== 'INVALID_ARGUMENT') throw error;
      throw new PfError('NOT_FOUND', `no volume is there: ${error.message}`);
    }
  }
}

/** As ControllerPublish answered it. */
function readAttachment(publishContext: Readonly<Record<string, string>>): number {
  const text = publishContext['attachment'] ?? '';
  const attachment = /^[0-9]{1,16}$/.test(text) ? Number(text) : NaN;
  if (Number.isSafeInteger(attachment)) return attachment;
  throw new PfError(
    'INVALID_ARGUMENT',
    `publish_context.attachment is ${JSON.stringify(text.slice(0, 40))}: the number that ControllerPublishVolume answered is wanted`,
  );
}
