// A store: disks, volumes, the data-plane door, the management interface and the heartbeat, put together and taken apart.
// Started by bin/pfstore, by launchers that run everything in one process, and by the simulator.
// `link` is the way in for a front in the same process: the same checks as over a connection, no copy, no hop.
import { ConductorClient } from '../api/conductor-client.ts';
import { formatHostPort, isHost, parseHostPort } from '../api/host-port.ts';
import type { DiskReport, HeartbeatReply } from '../api/model.ts';
import { PfError, formatErrorChain } from '../base/errors.ts';
import type { JsonObject } from '../base/json.ts';
import { PUREFLASH_VERSION } from '../base/version.ts';
import { EBUSY, EINVAL, EPERM } from '../world/completion.ts';
import type { HttpServer } from '../world/http.ts';
import type { World } from '../world/world.ts';
import { MAX_VOLUME_BYTES } from '../api/bodies.ts';
import type { Admission, Authorize, PeerHandshake } from '../wire/admission.ts';
import type { StoreLink } from '../wire/command.ts';
import { KIND_LEGACY, KIND_REPLICATION } from '../wire/frame-codec.ts';
import { DataListener } from '../wire/listener.ts';
import { STATUS_IO_ERROR } from '../wire/status.ts';
import { createAdminHandler, describeShard } from './admin.ts';
import { whileConnected } from './connected-http.ts';
import { Counters } from './counters.ts';
import { OBJECT_BYTES } from './disk/layout.ts';
import { Dispatcher } from './dispatcher.ts';
import { Heartbeat, type Description } from './heartbeat.ts';
import { LegacyLink } from './legacy-link.ts';
import { metricsText } from './metrics.ts';
import { Peers } from './peers.ts';
import { ReplicaRequests } from './replica-requests.ts';
import { Replicator } from './replicator.ts';
import { OperationPool } from './shard-operation.ts';
import { StoreDisks, type DiskSpec, type FormatPolicy } from './store-disks.ts';
import { Volumes } from './volumes.ts';

const RECOVERY_PARALLEL = 4;
/** Of a dump, which has to fit into one frame of a control socket. */
const DUMPED_SHARDS_MAX = 2000;

export interface StoreOptions {
  readonly disks: readonly DiskSpec[];
  /** Failure domain: replicas of a shard are put on different hosts. */
  readonly host: string;
  /** "host:port" to listen on; port 0 takes a free one. */
  readonly dataAddress: string;
  /** Where other stores connect, and nobody else; by default they share the clients' door. Advertised as it is. */
  readonly replicationAddress?: string;
  /** Says which network for data is lost now, or null: while one is, this store says nothing to the conductor. */
  readonly lostNetwork?: () => string | null;
  readonly httpAddress: string;
  /** Host name or address that clients and other stores reach; the listening host by default. */
  readonly advertisedHost?: string;
  /** "host:port" each. */
  readonly conductors: readonly string[];
  readonly format: FormatPolicy;
  /** Serve protocol version 1 clients, which carry neither token nor epoch. Default false. */
  readonly servesLegacyClients?: boolean;
  /** Replicas that are brought up to date at a time. Default 4. */
  readonly recoveryParallel?: number;
}

export interface Store {
  readonly storeUuid: string;
  readonly incarnation: string;
  /** 0 until the conductor has answered: see `registered`. */
  readonly storeId: number;
  readonly registered: Promise<void>;
  /** As advertised, "host:port". */
  readonly dataAddress: string;
  /** Null: other stores use the data address. */
  readonly replicationAddress: string | null;
  readonly httpAddress: string;
  readonly link: StoreLink;
  /** From now on; recoveries that run already go on. */
  setRecoveryParallel(count: number): void;
  /** What the store holds, for people who look into it: bounded, without tokens. */
  dump(): JsonObject;
  /** Refuses new requests, ends those in flight, marks the disks clean. Idempotent. */
  close(): Promise<void>;
}

/** Errors: those of opening disks and of listening. */
export async function startStore(world: World, options: StoreOptions): Promise<Store> {
  if (options.advertisedHost !== undefined && !isHost(options.advertisedHost)) {
    throw new PfError(
      'INVALID_ARGUMENT',
      `cannot advertise "${options.advertisedHost}": give a host name or an address, without a port and without brackets`,
    );
  }
  const disks = await StoreDisks.open(world, options.disks, options.format);
  const store = new StoreService(world, options, disks);
  try {
    await store.listen();
  } catch (error) {
    await store.close();
    throw error;
  }
  return store;
}

function portOf({ address }: DataListener): number {
  return address.kind === 'tcp' ? address.port : 0;
}

class StoreService implements Store {
  readonly #world: World;
  readonly #options: StoreOptions;
  readonly #disks: StoreDisks;
  readonly #counters = new Counters();
  readonly #operations = new OperationPool();
  readonly #peers: Peers;
  readonly #conductor: ConductorClient;
  readonly #replicator: Replicator;
  readonly #volumes: Volumes;
  readonly #dispatcher: Dispatcher;
  readonly #replicaRequests: ReplicaRequests;
  readonly #legacyLink: LegacyLink;
  #listener: DataListener | null = null;
  /** The door for other stores; null: they use the one for clients. */
  #replicationListener: DataListener | null = null;
  #http: HttpServer | null = null;
  #heartbeat: Heartbeat | null = null;
  #clusterToken = 0;
  #closed: Promise<void> | null = null;
  readonly incarnation: string;
  dataAddress = '';
  replicationAddress: string | null = null;
  httpAddress = '';

  constructor(world: World, options: StoreOptions, disks: StoreDisks) {
    this.#world = world;
    this.#options = options;
    this.#disks = disks;
    this.incarnation = world.random.uuid();
    this.#peers = new Peers(world);
    const { lostNetwork } = options;
    const { clock, random } = world;
    const http = lostNetwork === undefined ? world.http : whileConnected(world.http, lostNetwork);
    this.#conductor = new ConductorClient({ clock, random, http }, options.conductors);
    this.#replicator = new Replicator({
      world,
      peers: this.#peers,
      counters: this.#counters,
      operations: this.#operations,
      conductor: this.#conductor,
      incarnation: this.incarnation,
      applyConfig: (config) => void this.#volumes.apply(config),
      recoveryParallel: options.recoveryParallel ?? RECOVERY_PARALLEL,
    });
    this.#volumes = new Volumes(this.#replicator, disks.disks);
    this.#dispatcher = new Dispatcher(this.#volumes, this.#operations, this.#counters);
    this.#replicaRequests = new ReplicaRequests(world, this.#volumes, this.#counters);
    this.#legacyLink = new LegacyLink(this.#volumes, this.#dispatcher);
    for (const disk of disks.disks) {
      disk.onFailure = () => {
        for (const shard of this.#volumes.shards()) {
          if (shard.disk === disk && shard.links.length > 0) this.#replicator.localReplicaFailed(shard, STATUS_IO_ERROR);
        }
      };
    }
  }

  get storeUuid(): string {
    return this.#disks.storeUuid;
  }

  get storeId(): number {
    return this.#replicator.storeId;
  }

  get link(): StoreLink {
    return this.#dispatcher;
  }

  get registered(): Promise<void> {
    return this.#heartbeat!.registered;
  }

  setRecoveryParallel(count: number): void {
    this.#replicator.recoveries.setLimit(count);
  }

  dump(): JsonObject {
    const { store_uuid, incarnation, host, data_address, replication_address, http_address, disks } = this.#describe();
    const shards = [...this.#volumes.shards()];
    return {
      storeUuid: store_uuid,
      storeId: this.storeId,
      incarnation,
      host,
      dataAddress: data_address,
      replicationAddress: replication_address,
      httpAddress: http_address,
      disks: disks.map((disk) => ({ ...disk })),
      shardCount: shards.length,
      shards: shards.slice(0, DUMPED_SHARDS_MAX).map((shard) => ({ ...describeShard(shard) })),
      recoveries: this.#replicator.recoveries.dump(),
      counters: { ...this.#counters, refused: Object.fromEntries(this.#counters.refused) },
      requestsInFlight: this.#operations.inUse + this.#replicaRequests.inUse,
      connections: this.#connectionCount,
    };
  }

  async listen(): Promise<void> {
    const world = this.#world;
    const { dataAddress, replicationAddress, httpAddress, advertisedHost } = this.#options;
    if (replicationAddress !== undefined) {
      const { host, port } = parseHostPort(replicationAddress);
      this.#replicationListener = await this.#open(host, port, (peer) => this.#authorizeStore(peer));
      this.replicationAddress = formatHostPort(host, portOf(this.#replicationListener));
    }
    const data = parseHostPort(dataAddress);
    this.#listener = await this.#open(data.host, data.port, (peer) => this.#authorize(peer));
    this.dataAddress = formatHostPort(advertisedHost ?? data.host, portOf(this.#listener));
    const http = parseHostPort(httpAddress);
    this.#http = await world.http.serve(http.host, http.port, this.#adminHandler());
    this.httpAddress = formatHostPort(advertisedHost ?? http.host, this.#http.port);
    this.#heartbeat = new Heartbeat(
      world,
      this.#conductor,
      () => this.#describe(),
      (reply) => this.#onRegistered(reply),
    );
  }

  #open(host: string, port: number, authorize: Authorize): Promise<DataListener> {
    return DataListener.open(this.#world, { kind: 'tcp', host, port }, { authorize });
  }

  get #connectionCount(): number {
    return (this.#listener?.connectionCount ?? 0) + (this.#replicationListener?.connectionCount ?? 0);
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  #onRegistered(reply: HeartbeatReply): void {
    if (this.storeId !== 0 && this.storeId !== reply.store_id) {
      this.#world.log.error('the conductor calls this store by another id than before; is it another cluster?', {
        held: this.storeId,
        given: reply.store_id,
      });
      return;
    }
    this.#replicator.storeId = reply.store_id;
    this.#setClusterToken(reply.cluster_token);
  }

  #setClusterToken(token: number): void {
    this.#clusterToken = token;
    this.#peers.setClusterToken(token);
  }

  #authorize(handshake: PeerHandshake): Admission {
    if (handshake.kind === KIND_REPLICATION)
      return this.replicationAddress === null ? this.#authorizeStore(handshake) : { result: EPERM, link: null };
    const volume = this.#volumes.find(handshake.volumeId);
    if (volume === null) return { result: EINVAL, link: null };
    if (handshake.kind === KIND_LEGACY) {
      return this.#options.servesLegacyClients === true ? { result: 0, link: this.#legacyLink } : { result: EPERM, link: null };
    }
    return handshake.token === volume.token ? { result: 0, link: this.#dispatcher } : { result: EPERM, link: null };
  }

  #authorizeStore({ kind, token }: PeerHandshake): Admission {
    if (kind !== KIND_REPLICATION) return { result: EPERM, link: null };
    if (this.#clusterToken === 0) return { result: EBUSY, link: null };
    return token === this.#clusterToken ? { result: 0, link: this.#replicaRequests } : { result: EPERM, link: null };
  }

  #adminHandler() {
    return createAdminHandler({
      world: this.#world,
      volumes: this.#volumes,
      storeId: () => this.storeId,
      setClusterToken: (token) => this.#setClusterToken(token),
      status: () => {
        const { store_uuid, incarnation, host, version, data_address, disks } = this.#describe();
        return { store_uuid, store_id: this.storeId, incarnation, host, version, data_address, disks };
      },
      metricsText: () => this.#metricsText(),
      deleteVolume: (volumeId) => this.#deleteVolume(volumeId),
    });
  }

  #metricsText(): string {
    return metricsText({
      counters: this.#counters,
      disks: this.#disks.disks,
      shards: this.#volumes.shards(),
      operationsInFlight: this.#operations.inUse + this.#replicaRequests.inUse,
      connections: this.#connectionCount,
    });
  }

  #describe(): Description {
    return {
      op: 'heartbeat',
      store_uuid: this.storeUuid,
      incarnation: this.incarnation,
      host: this.#options.host,
      data_address: this.dataAddress,
      replication_address: this.replicationAddress,
      http_address: this.httpAddress,
      disks: this.#disks.disks.map(
        (disk): DiskReport => ({
          uuid: disk.diskUuid,
          device: this.#disks.pathOf(disk),
          status: disk.failure === null ? 'OK' : 'ERROR',
          raw_capacity: disk.totalBytes,
          free: disk.freeBytes,
          object_size: OBJECT_BYTES,
        }),
      ),
      version: PUREFLASH_VERSION,
    };
  }

  async #deleteVolume(volumeId: number): Promise<void> {
    this.#volumes.remove(volumeId);
    for (const disk of this.#disks.disks) await disk.drop(volumeId, 0, MAX_VOLUME_BYTES);
  }

  async #close(): Promise<void> {
    this.#dispatcher.isUp = false;
    await this.#heartbeat?.close();
    await this.#http?.close();
    for (const shard of this.#volumes.shards()) shard.stop('the store is closing');
    const ended = this.#replicator.close();
    await this.#peers.close();
    await Promise.all([this.#listener?.close(), this.#replicationListener?.close()]);
    await ended;
    const { clock, log } = this.#world;
    while (this.#operations.inUse > 0) await clock.sleep(1);
    for (const volume of [...this.#volumes.all]) this.#volumes.remove(volume.id);
    await this.#disks
      .close()
      .catch((error: unknown) => log.error('a disk could not be closed', { error: formatErrorChain(error) }));
  }
}
