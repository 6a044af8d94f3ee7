// Plays kubelet and the sidecars without Kubernetes: takes a claim all the way to a path with data on it, and back. Used by `make run` and by
// suites; talks to a driver's socket as any CSI client would.
import type { Clock, Files } from '@pureflash/datapath/world';
import { Controller } from './messages/controller-service.ts';
import type { Draft } from './messages/description.ts';
import { Node } from './messages/node-service.ts';
import type { AccessModeName, VolumeCapability } from './messages/volume-messages.ts';
import { connectGrpc, type GrpcConnection, type RpcClient } from './rpc/grpc-client.ts';

export interface Claim {
  readonly name: string;
  readonly sizeBytes: number;
  /** A filesystem, or null for the bare block device. */
  readonly fsType: 'ext4' | 'xfs' | null;
  readonly accessMode?: AccessModeName;
  /** Of the storage class. */
  readonly parameters?: Readonly<Record<string, string>>;
}

export interface WalkerOptions {
  readonly clock: Clock;
  readonly files: Pick<Files, 'makeFolder'>;
  readonly socketPath: string;
  /** Where the driver's controller and node are two, the controller's. */
  readonly controllerSocketPath?: string;
  readonly nodeId: string;
  /** Kubelet's directory, as the driver was told. */
  readonly kubeletFolder: string;
}

/** A claim that is in use. */
export interface WalkedVolume {
  readonly claim: Claim;
  readonly volumeId: string;
  readonly stagePath: string;
  /** A folder with a filesystem, or a block device. */
  readonly targetPath: string;
}

export class Walker implements Disposable {
  readonly controller: RpcClient<typeof Controller>;
  readonly node: RpcClient<typeof Node>;
  readonly #options: WalkerOptions;
  readonly #connections: readonly GrpcConnection[];

  constructor(options: WalkerOptions) {
    const { clock, socketPath, controllerSocketPath = socketPath } = options;
    const atNode = connectGrpc(clock, socketPath);
    const atController = controllerSocketPath === socketPath ? atNode : connectGrpc(clock, controllerSocketPath);
    this.#options = options;
    this.#connections = [...new Set([atNode, atController])];
    this.controller = atController.client(Controller);
    this.node = atNode.client(Node);
  }

  /** Provisioner. */
  async create(claim: Claim): Promise<string> {
    const { volume } = await this.controller.createVolume({
      name: claim.name,
      capacityRange: { requiredBytes: claim.sizeBytes },
      volumeCapabilities: [capabilityOf(claim)],
      parameters: claim.parameters ?? {},
    });
    return volume!.volumeId;
  }

  /** Attacher, then kubelet: from a volume to a path. Each step may be called again. */
  async use(claim: Claim, volumeId: string, options: { readonly isReadOnly?: boolean } = {}): Promise<WalkedVolume> {
    const { nodeId } = this.#options;
    const volumeCapability = capabilityOf(claim);
    const { publishContext } = await this.controller.controllerPublishVolume({
      volumeId,
      nodeId,
      volumeCapability,
      readonly: options.isReadOnly === true,
    });
    const walked = this.#placesOf(claim, volumeId);
    const { stagePath, targetPath } = walked;
    await this.#options.files.makeFolder(stagePath);
    await this.#options.files.makeFolder(folderOf(targetPath));
    const staging = { volumeId, publishContext, stagingTargetPath: stagePath, volumeCapability };
    await this.node.nodeStageVolume(staging);
    await this.node.nodePublishVolume({ ...staging, targetPath, readonly: options.isReadOnly === true });
    return walked;
  }

  /** Resizer, then kubelet. Resolves with the volume's size. */
  async expand({ claim, volumeId, stagePath, targetPath }: WalkedVolume, sizeBytes: number): Promise<number> {
    const capacityRange = { requiredBytes: sizeBytes };
    await this.controller.controllerExpandVolume({ volumeId, capacityRange });
    const { capacityBytes } = await this.node.nodeExpandVolume({
      volumeId,
      volumePath: targetPath,
      stagingTargetPath: stagePath,
      capacityRange,
      volumeCapability: capabilityOf(claim),
    });
    return capacityBytes;
  }

  /** The way back, to a volume that nobody uses. Each step may be called again. */
  async release({ volumeId, stagePath, targetPath }: WalkedVolume): Promise<void> {
    await this.node.nodeUnpublishVolume({ volumeId, targetPath });
    await this.node.nodeUnstageVolume({ volumeId, stagingTargetPath: stagePath });
    await this.controller.controllerUnpublishVolume({ volumeId, nodeId: this.#options.nodeId });
  }

  async delete(volumeId: string): Promise<void> {
    await this.controller.deleteVolume({ volumeId });
  }

  [Symbol.dispose](): void {
    for (const connection of this.#connections) connection.close();
  }

  /** As kubelet lays them out. */
  #placesOf(claim: Claim, volumeId: string): WalkedVolume {
    const plugins = `${this.#options.kubeletFolder}/plugins/kubernetes.io/csi`;
    const pod = `${this.#options.kubeletFolder}/pods/${claim.name}`;
    if (claim.fsType === null)
      return {
        claim,
        volumeId,
        stagePath: `${plugins}/volumeDevices/staging/${volumeId}`,
        targetPath: `${pod}/volumeDevices/${volumeId}`,
      };
    return { claim, volumeId, stagePath: `${plugins}/${volumeId}/globalmount`, targetPath: `${pod}/volumes/${volumeId}/mount` };
  }
}

export function capabilityOf({ fsType, accessMode = 'SINGLE_NODE_WRITER' }: Claim): Draft<VolumeCapability> {
  const kind = fsType === null ? { block: {} } : { mount: { fsType } };
  return { ...kind, accessMode: { mode: accessMode } };
}

const folderOf = (path: string): string => path.slice(0, path.lastIndexOf('/'));
