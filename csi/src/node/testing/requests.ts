// Node requests as kubelet sends them, for tests: what is not said has the protocol's zero value.
import { PfError } from '@pureflash/datapath/base';
import type { Logger } from '@pureflash/datapath/world';
import { RpcError } from '../../rpc/status.ts';
import type { Node, NodeStageVolumeRequest } from '../../messages/node-service.ts';
import type { AccessModeName, VolumeCapability } from '../../messages/volume-messages.ts';
import type { Call, Handlers } from '../../rpc/grpc-server.ts';

export const CALL: Call = { signal: new AbortController().signal, deadlineMs: 0 };

export const quietLog: Logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => quietLog, setLevel() {} };

export function filesystem(
  fsType = 'ext4',
  mode: AccessModeName = 'SINGLE_NODE_WRITER',
  mountFlags: readonly string[] = [],
): VolumeCapability {
  return { block: null, mount: { fsType, mountFlags, volumeMountGroup: '' }, accessMode: { mode } };
}

export function block(mode: AccessModeName = 'SINGLE_NODE_WRITER'): VolumeCapability {
  return { block: {}, mount: null, accessMode: { mode } };
}

/** The calls of one volume, with the paths that kubelet would use below `folder`. */
export class Kubelet {
  readonly #node: Handlers<typeof Node>;
  readonly #volumeId: string;
  readonly stagingTargetPath: string;
  readonly #folder: string;

  constructor(node: Handlers<typeof Node>, folder: string, volumeId: string) {
    this.#node = node;
    this.#volumeId = volumeId;
    this.#folder = folder;
    this.stagingTargetPath = `${folder}/stage-${volumeId}`;
  }

  target(pod: string): string {
    return `${this.#folder}/pod-${pod}`;
  }

  async stage(volumeCapability: VolumeCapability | null, more: Partial<NodeStageVolumeRequest> = {}): Promise<void> {
    const { stagingTargetPath } = this;
    const given = { volumeId: this.#volumeId, publishContext: { attachment: '7' }, stagingTargetPath, volumeCapability };
    await this.#node.nodeStageVolume!({ ...given, secrets: {}, volumeContext: {}, ...more }, CALL);
  }

  async unstage(stagingTargetPath = this.stagingTargetPath): Promise<void> {
    await this.#node.nodeUnstageVolume!({ volumeId: this.#volumeId, stagingTargetPath }, CALL);
  }

  async publish(
    pod: string,
    volumeCapability: VolumeCapability | null,
    readonly = false,
    targetPath = this.target(pod),
  ): Promise<void> {
    const { stagingTargetPath } = this;
    const given = { volumeId: this.#volumeId, publishContext: {}, stagingTargetPath, targetPath, volumeCapability, readonly };
    await this.#node.nodePublishVolume!({ ...given, secrets: {}, volumeContext: {} }, CALL);
  }

  async unpublish(pod: string, targetPath = this.target(pod)): Promise<void> {
    await this.#node.nodeUnpublishVolume!({ volumeId: this.#volumeId, targetPath }, CALL);
  }

  async expand(volumePath: string, volumeCapability: VolumeCapability | null = null, requiredBytes = 0): Promise<number> {
    const capacityRange = requiredBytes === 0 ? null : { requiredBytes, limitBytes: 0 };
    const given = {
      volumeId: this.#volumeId,
      volumePath,
      capacityRange,
      stagingTargetPath: this.stagingTargetPath,
      volumeCapability,
    };
    return (await this.#node.nodeExpandVolume!({ ...given, secrets: {} }, CALL)).capacityBytes ?? 0;
  }

  async stats(volumePath: string): Promise<{ usage: readonly object[]; abnormal: boolean; message: string }> {
    const given = { volumeId: this.#volumeId, volumePath, stagingTargetPath: this.stagingTargetPath };
    const { usage = [], volumeCondition } = await this.#node.nodeGetVolumeStats!(given, CALL);
    return { usage, abnormal: volumeCondition?.abnormal ?? false, message: volumeCondition?.message ?? '' };
  }
}

/** "INVALID_STATE: words", "" when nothing was refused. A failure that is neither PfError nor RpcError is thrown on. */
export async function refusal(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return '';
  } catch (error) {
    if (error instanceof PfError) return `${error.code}: ${error.message}`;
    if (error instanceof RpcError) return `${error.status}: ${error.message}`;
    throw error;
  }
}
