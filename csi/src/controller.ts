// The Controller service: validate -> lock by volume -> do (volumes/) -> translate. Served by bin/csi.ts; its callers are Kubernetes' sidecars.
// It keeps nothing: any number of them may run, and any of them may die at any moment. What is done twice is done once.
import { PfError, errorCodeOf } from '@pureflash/datapath/base';
import type {
  Controller,
  ControllerCapabilityName,
  ControllerExpandVolumeRequest,
  ControllerExpandVolumeResponse,
  ControllerGetVolumeRequest,
  ControllerGetVolumeResponse,
  ControllerPublishVolumeRequest,
  ControllerPublishVolumeResponse,
  ControllerUnpublishVolumeRequest,
  CreateVolumeRequest,
  CreateVolumeResponse,
  DeleteVolumeRequest,
  GetCapacityRequest,
  GetCapacityResponse,
  ListVolumesRequest,
  ListVolumesResponse,
  ValidateVolumeCapabilitiesRequest,
  ValidateVolumeCapabilitiesResponse,
} from './messages/controller-service.ts';
import type { Draft } from './messages/description.ts';
import type { Volume } from './messages/volume-messages.ts';
import { VolumeLocks } from './calls/volume-locks.ts';
import type { Call, Handlers } from './rpc/grpc-server.ts';
import { RpcError } from './rpc/status.ts';
import { accessOf, checkCapabilities, complaintOf } from './volumes/access.ts';
import { availableBytes } from './volumes/capacity.ts';
import { isVolumeId, volumeNameOf } from './volumes/names.ts';
import { pageOf } from './volumes/pages.ts';
import { readParameters, type ClassDefaults } from './volumes/parameters.ts';
import { isWithin, MAX_VOLUME_BYTES, MIN_VOLUME_BYTES, sizeOfRequest } from './volumes/size-of-request.ts';
import { checkRequirement, isReached, SEGMENTS } from './volumes/topology.ts';
import type { ClusterVolume, VolumeService } from './volumes/volume-service.ts';

export interface ControllerOptions {
  readonly volumes: VolumeService;
  readonly defaults: ClassDefaults;
  /** Lower-case hex. */
  readonly sha256: (bytes: Uint8Array) => string;
}

const CAPABILITIES: readonly ControllerCapabilityName[] = [
  'CREATE_DELETE_VOLUME',
  'PUBLISH_UNPUBLISH_VOLUME',
  'PUBLISH_READONLY',
  'LIST_VOLUMES',
  'LIST_VOLUMES_PUBLISHED_NODES',
  'GET_CAPACITY',
  'EXPAND_VOLUME',
  'GET_VOLUME',
  'VOLUME_CONDITION',
  'SINGLE_NODE_MULTI_WRITER',
];
const NODE_ID_MAX = 253;
const NAME_MAX = 4096;

export function controllerHandlers(options: ControllerOptions): Handlers<typeof Controller> {
  const calls = new ControllerCalls(options);
  return {
    createVolume: (request, call) => calls.create(request, call),
    deleteVolume: (request, call) => calls.delete(request, call),
    controllerPublishVolume: (request, call) => calls.publish(request, call),
    controllerUnpublishVolume: (request, call) => calls.unpublish(request, call),
    validateVolumeCapabilities: (request, call) => calls.validate(request, call),
    listVolumes: (request, call) => calls.list(request, call),
    getCapacity: (request, call) => calls.capacity(request, call),
    controllerExpandVolume: (request, call) => calls.expand(request, call),
    controllerGetVolume: (request, call) => calls.get(request, call),
    controllerGetCapabilities: async () => ({ capabilities: CAPABILITIES.map((type) => ({ rpc: { type } })) }),
  };
}

class ControllerCalls {
  readonly #volumes: VolumeService;
  readonly #options: ControllerOptions;
  readonly #locks = new VolumeLocks();

  constructor(options: ControllerOptions) {
    this.#volumes = options.volumes;
    this.#options = options;
  }

  async create(request: CreateVolumeRequest, call: Call): Promise<Draft<CreateVolumeResponse>> {
    if (request.name === '' || request.name.length > NAME_MAX)
      throw new PfError('INVALID_ARGUMENT', `name has ${request.name.length} characters: 1 to ${NAME_MAX} are possible`);
    checkCapabilities(request.volumeCapabilities);
    if (request.volumeContentSource !== null)
      throw new PfError('INVALID_ARGUMENT', 'volume_content_source: volumes are made empty in this version');
    if (Object.keys(request.mutableParameters).length > 0)
      throw new PfError('INVALID_ARGUMENT', 'mutable_parameters: volumes have none in this version');
    checkRequirement(request.accessibilityRequirements);
    const { replicaCount } = readParameters(request.parameters, this.#options.defaults);
    const sizeBytes = sizeOfRequest(request.capacityRange);
    const name = volumeNameOf(request.name, this.#options.sha256);
    const volume = await this.#locks.run(name, 'CreateVolume', async () => {
      const found = await this.#volumes.find(name, call);
      if (found === null) return this.#createAnew(name, { sizeBytes, replicaCount }, call);
      if (isWithin(request.capacityRange, found.sizeBytes) && found.replicaCount === replicaCount) return found;
      throw new PfError(
        'ALREADY_EXISTS',
        `volume "${name}" exists with ${found.sizeBytes} bytes and ${found.replicaCount} replicas, which is not what is asked for`,
      );
    });
    return { volume: translated(volume) };
  }

  /** One that has appeared meanwhile is somebody else's: the caller comes again and finds out whether it fits. */
  async #createAnew(
    name: string,
    shape: { readonly sizeBytes: number; readonly replicaCount: number },
    call: Call,
  ): Promise<ClusterVolume> {
    try {
      return await this.#volumes.create(name, shape, call);
    } catch (error) {
      if (errorCodeOf(error) !== 'ALREADY_EXISTS') throw error;
      throw new RpcError('ABORTED', `volume "${name}" was made by another call at the same time; call again`, { cause: error });
    }
  }

  async delete(request: DeleteVolumeRequest, call: Call): Promise<object> {
    const id = required(request.volumeId, 'volume_id');
    if (!isVolumeId(id)) return {};
    await this.#locks.run(id, 'DeleteVolume', () => unlessMissing(() => this.#volumes.delete(id, call)));
    return {};
  }

  async publish(request: ControllerPublishVolumeRequest, call: Call): Promise<Draft<ControllerPublishVolumeResponse>> {
    const id = required(request.volumeId, 'volume_id');
    const node = checkNode(required(request.nodeId, 'node_id'));
    const access = accessOf(request.volumeCapability);
    const isReadOnly = access.isReadOnly || request.readonly;
    const isShared = access.isShared && !isReadOnly;
    const attachment = await this.#locks.run(id, 'ControllerPublishVolume', async () => {
      const volume = await this.#existing(id, call);
      const held = volume.attachments.find((each) => each.node === node);
      if (held !== undefined && (held.isReadOnly !== isReadOnly || held.isShared !== isShared)) {
        const mode = held.isReadOnly ? 'reading' : held.isShared ? 'shared writing' : 'writing';
        throw new PfError(
          'ALREADY_EXISTS',
          `volume "${id}" is published on node "${node}" for ${mode} already; unpublish it first`,
        );
      }
      return this.#volumes.attach(id, { node, isReadOnly, isShared }, call);
    });
    return { publishContext: { attachment: String(attachment), readOnly: String(isReadOnly) } };
  }

  /** When this answers, nothing that the node still sends is written any more: that is what the next node counts on. */
  async unpublish(request: ControllerUnpublishVolumeRequest, call: Call): Promise<object> {
    const id = required(request.volumeId, 'volume_id');
    const node = request.nodeId === '' ? null : checkNode(request.nodeId);
    if (!isVolumeId(id)) return {};
    await this.#locks.run(id, 'ControllerUnpublishVolume', () => unlessMissing(() => this.#volumes.detach(id, node, call)));
    return {};
  }

  async validate(request: ValidateVolumeCapabilitiesRequest, call: Call): Promise<Draft<ValidateVolumeCapabilitiesResponse>> {
    const id = required(request.volumeId, 'volume_id');
    const { volumeCapabilities, volumeContext, parameters } = request;
    if (volumeCapabilities.length === 0) throw new PfError('INVALID_ARGUMENT', 'volume_capabilities is missing');
    const volume = await this.#existing(id, call);
    for (const capability of volumeCapabilities) {
      const complaint = complaintOf(capability);
      if (complaint !== null) return { message: complaint };
    }
    const { replicaCount } = readParameters(parameters, { ...this.#options.defaults, replicaCount: volume.replicaCount });
    if (replicaCount !== volume.replicaCount) return { message: `the volume has ${volume.replicaCount} replicas` };
    return { confirmed: { volumeContext, volumeCapabilities, parameters } };
  }

  async list(request: ListVolumesRequest, call: Call): Promise<Draft<ListVolumesResponse>> {
    const volumes = await this.#volumes.list(call);
    const { page, nextToken } = pageOf(volumes, request.startingToken, request.maxEntries);
    return { entries: page.map((volume) => ({ volume: translated(volume), status: statusOf(volume) })), nextToken };
  }

  async get(request: ControllerGetVolumeRequest, call: Call): Promise<Draft<ControllerGetVolumeResponse>> {
    const volume = await this.#existing(required(request.volumeId, 'volume_id'), call);
    return { volume: translated(volume), status: statusOf(volume) };
  }

  async capacity(request: GetCapacityRequest, call: Call): Promise<Draft<GetCapacityResponse>> {
    const { replicaCount } = readParameters(request.parameters, this.#options.defaults);
    const isPossible =
      request.volumeCapabilities.every((capability) => complaintOf(capability) === null) &&
      (request.accessibleTopology === null || isReached(request.accessibleTopology));
    const available = isPossible ? availableBytes(await this.#volumes.freeSpace(call), replicaCount) : 0;
    return {
      availableCapacity: available,
      maximumVolumeSize: { value: isPossible ? MAX_VOLUME_BYTES : 0 },
      minimumVolumeSize: { value: MIN_VOLUME_BYTES },
    };
  }

  async expand(request: ControllerExpandVolumeRequest, call: Call): Promise<Draft<ControllerExpandVolumeResponse>> {
    const id = required(request.volumeId, 'volume_id');
    if (request.capacityRange === null) throw new PfError('INVALID_ARGUMENT', 'capacity_range is missing');
    const wanted = sizeOfRequest(request.capacityRange);
    if (request.volumeCapability !== null) checkCapabilities([request.volumeCapability]);
    const capacityBytes = await this.#locks.run(id, 'ControllerExpandVolume', async () => {
      const { sizeBytes } = await this.#existing(id, call);
      return sizeBytes >= wanted ? sizeBytes : this.#volumes.grow(id, wanted, call);
    });
    // Also when it was large enough already: the node may have died before it took that over.
    return { capacityBytes, nodeExpansionRequired: true };
  }

  async #existing(id: string, call: Call): Promise<ClusterVolume> {
    const volume = isVolumeId(id) ? await this.#volumes.find(id, call) : null;
    if (volume !== null) return volume;
    throw new PfError('NOT_FOUND', `volume ${JSON.stringify(id.slice(0, 128))} does not exist`);
  }
}

function required(value: string, field: string): string {
  if (value !== '') return value;
  throw new PfError('INVALID_ARGUMENT', `${field} is missing`);
}

/** As a conductor takes it. */
function checkNode(id: string): string {
  if (id.length <= NODE_ID_MAX && /^[!-~]+$/.test(id)) return id;
  throw new PfError(
    'INVALID_ARGUMENT',
    `node_id ${JSON.stringify(id.slice(0, 128))}: 1 to ${NODE_ID_MAX} printable characters wanted`,
  );
}

/** A volume that is gone is deleted, and unpublished. */
async function unlessMissing(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (errorCodeOf(error) !== 'NOT_FOUND') throw error;
  }
}

function translated({ name, sizeBytes }: ClusterVolume): Draft<Volume> {
  return { volumeId: name, capacityBytes: sizeBytes, accessibleTopology: [{ segments: SEGMENTS }] };
}

function statusOf(volume: ClusterVolume) {
  const publishedNodeIds = volume.attachments.map((each) => each.node);
  return { publishedNodeIds, volumeCondition: conditionOf(volume) };
}

function conditionOf({ health, replicaCount }: ClusterVolume): { readonly abnormal: boolean; readonly message: string } {
  if (health === 'OK') return { abnormal: false, message: `all ${replicaCount} replicas are in sync` };
  if (health === 'DEGRADED')
    return { abnormal: true, message: `served with fewer than ${replicaCount} replicas; it is being recovered` };
  return { abnormal: true, message: 'not served: no replica that is in sync can be reached' };
}
