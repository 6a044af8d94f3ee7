// One daemon of a simulated cluster on its machine, with the supervisor that a real one has: it is started again after a kill, a
// power cut, or an ending of its own. Assertions that fail are bugs and end the run; failures (PfError) are what supervisors are for.
import { formatErrorChain, PfError } from '../../base/errors.ts';
import type { World } from '../../world/world.ts';
import type { SimHost } from '../sim-host.ts';
import type { SimProcess } from '../sim-process.ts';

export interface Daemon {
  /** Resolves when the daemon cannot go on. */
  readonly failed?: Promise<unknown>;
  close(): Promise<void>;
}

const RESTART_MS = 150;

export class ClusterNode<App extends Daemon> {
  readonly host: SimHost;
  readonly name: string;
  process: SimProcess | null = null;
  /** Null until the daemon of the living process is up. */
  app: App | null = null;
  startCount = 0;
  readonly #open: (world: World) => Promise<App>;
  readonly #memoryBytes: number;

  constructor(host: SimHost, name: string, memoryBytes: number, open: (world: World) => Promise<App>) {
    this.host = host;
    this.name = name;
    this.#memoryBytes = memoryBytes;
    this.#open = open;
  }

  get isUp(): boolean {
    return this.process !== null && this.process.isAlive && this.app !== null;
  }

  /** Starts the daemon unless it lives; does nothing on a machine without power. */
  start(): void {
    if (this.process?.isAlive === true || !this.host.isPowered) return;
    this.app = null;
    this.startCount += 1;
    this.process = this.host.startProcess(this.name, (world) => this.#run(world), { memoryBytes: this.#memoryBytes });
  }

  kill(): void {
    this.process?.kill();
    this.app = null;
  }

  powerOff(): void {
    this.host.powerOff();
    this.app = null;
  }

  powerOn(): void {
    this.host.powerOn();
    this.start();
  }

  restart(): void {
    this.kill();
    this.start();
  }

  async #run(world: World): Promise<void> {
    const process = this.process!;
    try {
      const app = await this.#open(world);
      this.app = app;
      void app.failed?.then((why) => this.#endedItself(process, why));
    } catch (error) {
      if (!(error instanceof PfError)) throw error;
      this.#endedItself(process, error);
    }
  }

  #endedItself(process: SimProcess, why: unknown): void {
    if (!process.isAlive || process.isClosed) return;
    const { sim } = this.host;
    sim.log.append(`${sim.now.toFixed(3)} ${this.host.name}/${this.name} ends: ${formatErrorChain(why)}`);
    sim.schedule(0, () => process.kill(), 'daemon-exit');
    sim.schedule(RESTART_MS, () => this.start(), 'supervisor');
  }
}
