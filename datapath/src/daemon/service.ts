// A service: a definition, its process and its connection, driven by service-core.ts. Called by service-set.ts and mux-service.ts.
// This file performs duties and turns what happens into events; it decides nothing. Everything that changes the state goes through
// #dispatch(), so operations that are called side by side (manage(), start(), stop(), reconfigure()) state wishes, the last of which wins,
// and each waits until its own wish came true or was replaced.
import { unreachable } from '../base/assert.ts';
import { formatErrorChain, PfError } from '../base/errors.ts';
import { canonicalJson, type Json, type JsonObject } from '../base/json.ts';
import type { Timer } from '../world/clock.ts';
import { formatExit } from '../world/processes.ts';
import type { World } from '../world/world.ts';
import { hashConfig, type ConfigHashes } from './config-change.ts';
import { Connection, DEFAULT_CONNECTION_TIMINGS, type ConnectionTimings } from './connection.ts';
import { Mutex } from './mutex.ts';
import { fileStem, type RecordFolder } from './process-record.ts';
import { DaemonProcess, type Command } from './process.ts';
import { DEFAULT_RESTART_POLICY, type RestartPolicy } from './restart-policy.ts';
import { initialState, isSettled, step } from './service-core.ts';
import type { Duty, Notice, ServiceEvent, ServiceSettings, ServiceState, TimerName } from './service-core.ts';
import { controlSocketPath } from './socket-path.ts';
import { Watchers } from './watchers.ts';

export interface ServiceTimings extends ConnectionTimings {
  /** How long manage(), start() and reconfigure() wait until the service is online. */
  readonly onlineMs: number;
  /** SIGTERM's time before SIGKILL, and SIGKILL's. */
  readonly termMs: number;
  readonly killMs: number;
  readonly applyMs: number;
  readonly endAfterOfflineMs: number | null;
}

export const DEFAULT_SERVICE_TIMINGS: ServiceTimings = {
  ...DEFAULT_CONNECTION_TIMINGS,
  onlineMs: 15_000,
  termMs: 10_000,
  killMs: 10_000,
  applyMs: 10_000,
  endAfterOfflineMs: 60_000,
};

/** Where a daemon finds its configuration and has to listen. */
export interface DaemonPlace {
  readonly name: string;
  readonly socketPath: string;
  /** JSON, written before each start. */
  readonly configPath: string;
}

export interface ServiceDefinition {
  readonly name: string;
  readonly config: JsonObject;
  /** What of the configuration is read at the start only: a change of it restarts. Null: nothing of it. Default: everything. */
  readonly restartPart?: Json;
  command(place: DaemonPlace): Command;
  readonly policy?: RestartPolicy;
  readonly timings?: Partial<ServiceTimings>;
  readonly rotateLogAtBytes?: number;
}

export interface ServicePlaces {
  readonly records: RecordFolder;
  /** Of sockets and configurations; only this user may enter it. */
  readonly runFolder: string;
  readonly logFolder: string;
}

export type ServiceListener = (service: Service, notice: Notice) => void;

export interface ServiceStatus {
  readonly name: string;
  readonly phase: ServiceState['phase'];
  readonly wish: 'run' | 'stop';
  readonly isHeld: boolean;
  readonly isOnline: boolean;
  readonly pid: number | null;
  readonly restarts: number;
  readonly crashes: number;
  readonly lastExit: string | null;
  readonly lastFailure: string | null;
  readonly config: ConfigHashes | null;
  readonly socketPath: string;
  readonly logPath: string;
}

const ROTATE_LOG_AT_BYTES = 16 * 1024 * 1024;
const STOP_AGAIN_MS = 5000;
const ASK_PID_MS = 2000;

export class Service {
  readonly name: string;
  readonly place: DaemonPlace;
  readonly logPath: string;
  readonly #world: World;
  readonly #records: RecordFolder;
  readonly #listener: ServiceListener;
  readonly #process: DaemonProcess;
  readonly #connection: Connection;
  readonly #timers = new Map<TimerName, Timer>();
  readonly #watchers = new Watchers();
  readonly #events: ServiceEvent[] = [];
  readonly #stopping = new AbortController();
  readonly #holds = new Mutex();
  #definition: ServiceDefinition;
  #timings: ServiceTimings;
  #wanted: ConfigHashes;
  #state: ServiceState;
  #isHeld = false;
  #wishCount = 0;
  #isClosed = false;
  #isDispatching = false;

  private constructor(world: World, places: ServicePlaces, definition: ServiceDefinition, listener: ServiceListener) {
    const { name } = definition;
    const stem = fileStem(name);
    this.name = name;
    this.#world = world;
    this.#records = places.records;
    this.#listener = listener;
    this.#definition = definition;
    this.#timings = { ...DEFAULT_SERVICE_TIMINGS, ...definition.timings };
    this.place = {
      name,
      socketPath: controlSocketPath(world, places.runFolder, name),
      configPath: `${places.runFolder}/${stem}.config.json`,
    };
    this.logPath = `${places.logFolder}/${stem}.log`;
    this.#wanted = this.#hash(definition);
    this.#state = initialState(this.#wanted);
    this.#process = new DaemonProcess(world, places.records, {
      name,
      socketPath: this.place.socketPath,
      logPath: this.logPath,
      rotateLogAtBytes: definition.rotateLogAtBytes ?? ROTATE_LOG_AT_BYTES,
      termMs: this.#timings.termMs,
      killMs: this.#timings.killMs,
      askMs: ASK_PID_MS,
    });
    this.#connection = new Connection(world, {
      name,
      socketPath: this.place.socketPath,
      timings: this.#timings,
      onEvent: ({ kind }) => {
        if (kind !== 'destroyed') this.#dispatch({ kind });
      },
    });
  }

  /** Finds the process that an earlier manager left, and starts nothing. */
  static async open(
    world: World,
    places: ServicePlaces,
    definition: ServiceDefinition,
    listener: ServiceListener = () => {},
  ): Promise<Service> {
    const service = new Service(world, places, definition, listener);
    service.#isHeld = await places.records.isHeld(definition.name);
    const record = await service.#process.adopt();
    if (record !== null) service.#started(record.config);
    return service;
  }

  get state(): ServiceState {
    return this.#state;
  }

  /** Connected, and the process lives. */
  get isOnline(): boolean {
    return this.#state.isOnline;
  }

  get pid(): number | null {
    return this.#process.identity?.pid ?? null;
  }

  get status(): ServiceStatus {
    const { phase, wish, isOnline, restarts, crashes, lastExit, lastFailure, running } = this.#state;
    return {
      name: this.name,
      phase,
      wish,
      isHeld: this.#isHeld,
      isOnline,
      pid: this.pid,
      restarts,
      crashes,
      lastExit: lastExit === null ? null : formatExit(lastExit),
      lastFailure,
      config: running,
      socketPath: this.place.socketPath,
      logPath: this.logPath,
    };
  }

  /**
   * Makes reality what is wished: online with the present configuration, or stopped when somebody has stopped it by hand.
   * Idempotent, and cheap when there is nothing to do. Errors: INVALID_STATE when it has ended or crashes in a loop; TIMEOUT.
   */
  async manage(signal?: AbortSignal): Promise<void> {
    if (this.#isHeld) return this.#wish({ kind: 'wish-stop' }, signal);
    return this.#wish({ kind: 'wish-run', config: this.#wanted, isFresh: false }, signal);
  }

  /** By hand: forgets an earlier stop() and earlier crashes. */
  async start(signal?: AbortSignal): Promise<void> {
    const remembered = this.#remember(false);
    const wished = this.#wish({ kind: 'wish-run', config: this.#wanted, isFresh: true }, signal);
    await Promise.all([remembered, wished]);
  }

  /** Resolves when the process has ended. Remembered over a restart of the manager, unless `isRemembered` is false. */
  async stop(options: { readonly isRemembered?: boolean } = {}, signal?: AbortSignal): Promise<void> {
    const remembered = options.isRemembered === false ? Promise.resolve() : this.#remember(true);
    await Promise.all([remembered, this.#wish({ kind: 'wish-stop' }, signal)]);
  }

  /** Nothing, a change while it runs, or a restart: what the difference asks for. A stopped service stays stopped. */
  async reconfigure(definition: ServiceDefinition, signal?: AbortSignal): Promise<void> {
    if (definition.name !== this.name)
      throw new PfError('INVALID_ARGUMENT', `cannot give the definition of "${definition.name}" to the service "${this.name}"`);
    this.#definition = definition;
    this.#wanted = this.#hash(definition);
    if (this.#state.wish === 'stop') return;
    return this.#wish({ kind: 'wish-run', config: this.#wanted, isFresh: false }, signal);
  }

  /** Errors: CONNECTION_LOST, TIMEOUT, and what the daemon refuses with. */
  request(operation: string, body: Json, timeoutMs: number, signal?: AbortSignal): Promise<Json> {
    return this.#connection.request(operation, body, timeoutMs, signal);
  }

  /** For a service that is stopped and will not be wished again: nothing of it stays but its log. */
  async forget(): Promise<void> {
    await this.#remember(false);
    await this.#world.files.remove(this.place.configPath);
    await this.close();
  }

  /** The process runs on: the next manager finds it. Waits for a start or a stop that is going on. Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const timer of this.#timers.values()) timer.cancel();
    this.#stopping.abort(new PfError('CANCELLED', `the manager of ${this.name} was closed`));
    this.#connection.destroy();
    this.#watchers.wake();
    await this.#process.idle();
  }

  /** The wish itself does not wait for the disk: wishes take effect in the order of the calls. */
  #remember(isHeld: boolean): Promise<void> {
    this.#isHeld = isHeld;
    return this.#holds.run(() => (isHeld ? this.#records.hold(this.name) : this.#records.release(this.name)));
  }

  #hash(definition: ServiceDefinition): ConfigHashes {
    const { program, args, environment } = definition.command(this.place);
    const restartPart = definition.restartPart === undefined ? definition.config : definition.restartPart;
    return hashConfig(this.#world, definition.config, [restartPart, program, args, environment ?? {}]);
  }

  async #wish(event: Extract<ServiceEvent, { kind: 'wish-run' | 'wish-stop' }>, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const before = this.#state;
    // Many equal wishes at a time are one; another one replaces those that wait.
    if (event.kind === 'wish-stop' ? before.wish === 'run' : before.wish === 'stop' || before.wanted.whole !== event.config.whole)
      this.#wishCount += 1;
    const wishCount = this.#wishCount;
    this.#dispatch(event);
    const { onlineMs, termMs, killMs } = this.#timings;
    const timeoutMs = onlineMs + termMs + killMs;
    const { clock } = this.#world;
    if (await this.#watchers.until(clock, () => this.#isFulfilled(wishCount), timeoutMs, signal)) return;
    const { phase, isOnline } = this.#state;
    throw new PfError(
      'TIMEOUT',
      `${this.name} is not what was wished after ${timeoutMs} ms: ${phase}, ${isOnline ? 'online' : 'offline'}, ${this.#describeEnd()}; see ${this.logPath}`,
    );
  }

  /** Throws when the wish cannot come true any more by itself. */
  #isFulfilled(wishCount: number): boolean {
    if (this.#isClosed) throw new PfError('CANCELLED', `the manager of ${this.name} was closed`);
    if (wishCount !== this.#wishCount) throw new PfError('CANCELLED', `another wish for ${this.name} came in between`);
    const { phase, lastFailure, wish } = this.#state;
    if (wish === 'run' && (phase === 'ended' || phase === 'crash-loop'))
      throw new PfError(
        'INVALID_STATE',
        `cannot keep ${this.name} running: ${phase}, ${this.#describeEnd()}; see ${this.logPath}`,
      );
    if (wish === 'run' && phase === 'running' && !this.#state.isApplying && lastFailure !== null && this.#hasFailedToApply())
      throw new PfError('INVALID_STATE', `cannot change the configuration of ${this.name}: ${lastFailure}`);
    return isSettled(this.#state);
  }

  #hasFailedToApply(): boolean {
    const { isOnline, running, wanted } = this.#state;
    return isOnline && running !== null && running.restartPart === wanted.restartPart && running.whole !== wanted.whole;
  }

  #describeEnd(): string {
    const { lastExit, lastFailure } = this.#state;
    return [lastExit === null ? 'never started' : formatExit(lastExit), ...(lastFailure === null ? [] : [lastFailure])].join(
      ', ',
    );
  }

  /** One event after the other: those that a duty or a listener brings wait until the duties before them are done. */
  #dispatch(event: ServiceEvent): void {
    this.#events.push(event);
    if (this.#isDispatching) return;
    this.#isDispatching = true;
    try {
      for (let next = this.#events.shift(); next !== undefined && !this.#isClosed; next = this.#events.shift()) this.#take(next);
    } finally {
      this.#isDispatching = false;
    }
    this.#watchers.wake();
  }

  #take(event: ServiceEvent): void {
    const { policy = DEFAULT_RESTART_POLICY } = this.#definition;
    const settings: ServiceSettings = { policy, endAfterOfflineMs: this.#timings.endAfterOfflineMs, stopAgainMs: STOP_AGAIN_MS };
    const { state, duties } = step(settings, this.#state, event);
    this.#state = state;
    for (const duty of duties) this.#perform(duty);
  }

  #perform(duty: Duty): void {
    switch (duty.kind) {
      case 'start':
        void this.#startProcess();
        return;
      case 'stop':
        void this.#stopProcess();
        return;
      case 'apply':
        void this.#applyConfig();
        return;
      case 'connect':
        this.#connection.connect();
        return;
      case 'disconnect':
        this.#connection.disconnect();
        return;
      case 'arm':
        this.#timers.get(duty.timer)?.cancel();
        this.#timers.set(
          duty.timer,
          this.#world.clock.after(duty.delayMs, () => this.#dispatch({ kind: 'timer', timer: duty.timer })),
        );
        return;
      case 'disarm':
        this.#timers.get(duty.timer)?.cancel();
        return;
      case 'notify':
        this.#listener(this, duty.notice);
        return;
      default:
        unreachable(duty, 'duty of a service');
    }
  }

  async #startProcess(): Promise<void> {
    const definition = this.#definition;
    const config = this.#wanted;
    try {
      await this.#writeConfig(definition);
      this.#stopping.signal.throwIfAborted();
      const record = await this.#process.start({ command: definition.command(this.place), config });
      this.#started(record.config);
    } catch (error) {
      this.#dispatch({ kind: 'start-failed', message: formatErrorChain(error) });
    }
  }

  #started(config: ConfigHashes): void {
    const exited = this.#process.exited();
    this.#dispatch({ kind: 'started', config, nowMs: this.#world.clock.now() });
    void exited.then((status) => this.#dispatch({ kind: 'exited', status, nowMs: this.#world.clock.now() }));
  }

  async #stopProcess(): Promise<void> {
    try {
      const status = await this.#process.stop(this.#stopping.signal);
      this.#dispatch({ kind: 'stopped', status, nowMs: this.#world.clock.now() });
    } catch (error) {
      this.#dispatch({ kind: 'stop-failed', message: formatErrorChain(error) });
    }
  }

  /** Crash windows: the file is new before the daemon is, and the record last; whoever adopts in between tells the daemon once more. */
  async #applyConfig(): Promise<void> {
    const definition = this.#definition;
    const config = this.#wanted;
    const { identity } = this.#process;
    try {
      await this.#writeConfig(definition);
      await this.#connection.request('reconfigure', definition.config, this.#timings.applyMs, this.#stopping.signal);
      this.#stopping.signal.throwIfAborted();
      await this.#process.amend(config);
      if (this.#process.identity === identity) this.#dispatch({ kind: 'applied', config });
    } catch (error) {
      if (this.#process.identity === identity) this.#dispatch({ kind: 'apply-failed', message: formatErrorChain(error) });
    }
  }

  async #writeConfig(definition: ServiceDefinition): Promise<void> {
    await this.#world.files.replace(this.place.configPath, new TextEncoder().encode(`${canonicalJson(definition.config)}\n`));
  }
}
