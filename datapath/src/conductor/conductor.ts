// One conductor over a World: the engine with the cluster's state, the monitor, the reconfigurer, the pusher, and the HTTP door.
// Started by bin/pfconductor.ts, by the simulator and by tests.
// Flow: heartbeat -> monitor -> reconfigurer -> command -> state -> pusher -> stores. Everything durable is a command; all
// the rest is forgotten at a restart and found again.
import { volumeId as asVolumeId, replicaIdOf } from '../base/ids.ts';
import type { JsonObject } from '../base/json.ts';
import { PUREFLASH_VERSION } from '../base/version.ts';
import { formatHostPort } from '../api/host-port.ts';
import type { Engine } from '../consensus/engine.ts';
import { EmbeddedEngine } from '../consensus/embedded-engine.ts';
import type { HttpServer } from '../world/http.ts';
import type { World } from '../world/world.ts';
import { ChangeSignal } from './change-signal.ts';
import { proposeOrThrow, type ConductorContext } from './context.ts';
import { createDoor } from './door.ts';
import { Monitor } from './monitor.ts';
import type { Liveness } from './plan/liveness.ts';
import type { ShardPlanInput } from './plan/shard-plan.ts';
import { Pusher } from './pusher.ts';
import { Reconfigurer } from './reconfigurer.ts';
import { RecoveryRests } from './recovery-rests.ts';
import type { Outcome } from './state/outcome.ts';
import { ClusterMachine } from './state/cluster-machine.ts';
import { encodeState, type ClusterState } from './state/cluster-state.ts';
import type { Command } from './state/commands.ts';

export interface ConductorOptions {
  readonly dataFolder: string;
  readonly host: string;
  /** 0: any. */
  readonly port: number;
  /** Given to the cluster when it is created; later starts keep the name it has. */
  readonly clusterName: string;
  /** Replicas of a shard may be on different stores of one host. */
  readonly allowSameHost: boolean;
  readonly version?: string;
}

/** Stores, and volumes, of a dump, which has to fit into one frame of a control socket. */
const DUMPED_MAX = 1000;

/** Brings the conductor up with everything that its folder holds. Errors: INVALID_STATE (folder in use), CORRUPT. */
export async function startConductor(world: World, options: ConductorOptions): Promise<Conductor> {
  const machine = new ClusterMachine();
  const engine = await EmbeddedEngine.open(world, options.dataFolder, machine);
  const conductor = new Conductor(world, options, machine, engine);
  try {
    await conductor.start();
    return conductor;
  } catch (error) {
    await conductor.close();
    throw error;
  }
}

export class Conductor implements ConductorContext {
  readonly world: World;
  readonly engine: Engine<Command, Outcome>;
  readonly monitor: Monitor;
  readonly pusher: Pusher;
  readonly rests: RecoveryRests;
  readonly reconfigurer: Reconfigurer;
  readonly changed: ChangeSignal;
  readonly allowSameHost: boolean;
  readonly version: string;
  readonly #machine: ClusterMachine;
  readonly #options: ConductorOptions;
  readonly #lastLiveness = new Map<number, Liveness>();
  #server: HttpServer | null = null;
  #closed: Promise<void> | null = null;

  /** Use startConductor. */
  constructor(world: World, options: ConductorOptions, machine: ClusterMachine, engine: Engine<Command, Outcome>) {
    this.world = world;
    this.engine = engine;
    this.allowSameHost = options.allowSameHost;
    this.version = options.version ?? PUREFLASH_VERSION;
    this.#machine = machine;
    this.#options = options;
    this.changed = new ChangeSignal(world.clock);
    this.rests = new RecoveryRests(world.clock, () => this.reconfigurer.wake());
    this.monitor = new Monitor(
      world.clock,
      () => machine.state,
      (storeId) => this.#storeChanged(storeId),
    );
    this.pusher = new Pusher(world, {
      get state() {
        return machine.state;
      },
      view: this.monitor,
      deletionConfirmed: async (volumeId, storeId) => {
        await engine.propose({ kind: 'finish_deletion', volumeId, storeId });
      },
      held: () => this.changed.notify(),
    });
    this.reconfigurer = new Reconfigurer({
      log: world.log,
      planInput: this.#planInput(),
      get isLeader() {
        return engine.isLeader;
      },
      propose: (command) => engine.propose(command),
    });
  }

  get state(): ClusterState {
    return this.#machine.state;
  }

  /** "host:port", with the port that was chosen for port 0. */
  get address(): string {
    return formatHostPort(this.#server?.host ?? this.#options.host, this.port);
  }

  get port(): number {
    return this.#server?.port ?? this.#options.port;
  }

  /** Resolves when the conductor cannot go on: end the process and start it again. */
  get failed(): Promise<Error> {
    return this.engine.failed;
  }

  /** SHA-256 of the durable state: equal on any two conductors that applied the same commands. */
  stateHash(): string {
    return this.world.sha256(encodeState(this.state));
  }

  /** What the conductor holds, for people who look into it: bounded, and without the cluster's and the volumes' tokens. */
  dump(): JsonObject {
    const { cluster, stores, volumes } = this.state;
    return {
      cluster: cluster === null ? null : { name: cluster.name, uuid: cluster.uuid },
      address: this.address,
      isLeader: this.engine.isLeader,
      stateHash: this.stateHash(),
      allowSameHost: this.allowSameHost,
      storeCount: stores.size,
      stores: [...stores.values()].slice(0, DUMPED_MAX).map(({ id, uuid, host }) => {
        return { id, uuid, host, liveness: this.monitor.livenessOf(id) };
      }),
      volumeCount: volumes.size,
      volumes: [...volumes.values()].slice(0, DUMPED_MAX).map(({ id, name }) => ({ id, name })),
    };
  }

  async start(): Promise<void> {
    this.#machine.observe((before, after, command) => this.#applied(before, after, command));
    if (this.state.cluster === null) {
      const { random } = this.world;
      await proposeOrThrow(this, {
        kind: 'create_cluster',
        uuid: random.uuid(),
        name: this.#options.clusterName,
        token: random.token(),
      });
    }
    this.#server = await this.world.http.serve(this.#options.host, this.#options.port, createDoor(this));
    const { cluster, stores, volumes } = this.state;
    this.world.log.info(
      `conductor of cluster ${cluster!.name} serves on ${this.address}: ${stores.size} stores, ${volumes.size} volumes known`,
    );
  }

  /** Stops answering, lets what is under way end, leaves the state on disk. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.monitor.close();
    this.rests.close();
    await this.#server?.close();
    await this.pusher.close();
    await this.reconfigurer.close();
    await this.engine.close();
  }

  #planInput(): ShardPlanInput {
    const machine = this.#machine;
    return {
      get state() {
        return machine.state;
      },
      view: this.monitor,
      returnedFacts: (storeId) => this.monitor.factsOf(storeId),
      isResting: (volumeId, shardIndex, replicaIndex) =>
        this.rests.isResting(replicaIdOf(asVolumeId(volumeId), shardIndex, replicaIndex)),
    };
  }

  #storeChanged(storeId: number): void {
    this.#logLiveness(storeId);
    this.reconfigurer.wake();
    this.pusher.storeChanged(storeId);
    this.changed.notify();
  }

  #logLiveness(storeId: number): void {
    const liveness = this.monitor.livenessOf(storeId);
    if (this.#lastLiveness.get(storeId) === liveness) return;
    this.#lastLiveness.set(storeId, liveness);
    this.world.log.info(`store ${storeId} on ${this.state.stores.get(storeId)?.host ?? 'unknown host'} is ${liveness}`);
  }

  /** After every accepted command: who must hear of it? */
  #applied(before: ClusterState, after: ClusterState, command: Command): void {
    for (const volumeId of touchedVolumes(command, before, after)) this.pusher.volumeChanged(volumeId);
    if (command.kind === 'reconfigure') {
      for (const store of command.stores) this.pusher.storeChanged(after.storeIdByUuid.get(store.uuid)!);
    }
    if (!CHANGES_NO_PLAN.has(command.kind)) this.reconfigurer.wake();
    this.changed.notify();
  }
}

const CHANGES_NO_PLAN: ReadonlySet<Command['kind']> = new Set([
  'put_node',
  'remove_node',
  'attach_volume',
  'raise_epoch',
  'release_volume',
  'end_attachment',
  'release_reader',
  'finish_deletion',
]);

function touchedVolumes(command: Command, before: ClusterState, after: ClusterState): readonly number[] {
  switch (command.kind) {
    case 'reconfigure':
      return [...new Set(command.changes.map((change) => change.volumeId))];
    case 'create_volume':
      return [after.volumeIdByName.get(command.name) ?? before.volumeIdByName.get(command.name)!];
    case 'finish_recovery':
    case 'attach_volume':
    case 'raise_epoch':
    case 'resize_volume':
    case 'delete_volume':
      return [command.volumeId];
    case 'create_cluster':
    case 'put_store':
    case 'put_node':
    case 'remove_node':
    case 'release_volume':
    case 'end_attachment':
    case 'release_reader':
    case 'finish_deletion':
      return [];
  }
}
