// What `pureflash up` says while it runs: one line for each thing that changed, and what it waits for.
import { formatErrorChain } from '@pureflash/datapath/base';
import type { Notice } from '@pureflash/datapath/daemon';
import type { Clock } from '@pureflash/datapath/world';
import type { ClusterPlan } from '../../plan/cluster-plan.ts';
import type { InstanceReport } from '../instances.ts';
import type { Round } from '../local-cluster.ts';

export class UpReport {
  readonly #say: (line: string) => void;
  readonly #clock: Clock;
  readonly #startedAt: number;
  readonly #said = new Map<string, string>();
  readonly #pids = new Map<string, number>();
  #phase = 'Starting';
  #message = '';
  #isSettled = false;
  #isQuiet = false;
  #hasBeenReady = false;

  constructor(say: (line: string) => void, clock: Clock) {
    this.#say = say;
    this.#clock = clock;
    this.#startedAt = clock.now();
  }

  get state(): { readonly phase: string; readonly message: string } {
    return { phase: this.#phase, message: this.#message };
  }

  /** Everything is as it shall be: no need to look again soon. */
  get isQuiet(): boolean {
    return this.#isQuiet;
  }

  readonly notice = (report: InstanceReport, notice: Notice): void => {
    const { name, pid, lastFailure } = report;
    if (notice === 'connected') {
      const word = this.#pids.get(name) === pid ? 'online again' : 'online';
      if (pid !== null) this.#pids.set(name, pid);
      this.#say(`  ${name.padEnd(16)} ${word}, process ${pid}`);
    } else if (notice === 'exited')
      this.#say(`  ${name.padEnd(16)} ended by itself (${lastFailure ?? 'nobody saw how'}); it is started again`);
    else if (notice === 'crash-loop')
      this.#say(`  ${name.padEnd(16)} ends again and again: ${lastFailure}; see ${report.logPath}`);
    else if (notice === 'reconfigured') this.#say(`  ${name.padEnd(16)} took over the new settings while it runs`);
    else if (notice === 'reconfigure-failed' || notice === 'manage-failed') this.#say(`  ${name.padEnd(16)} ${lastFailure}`);
  };

  /** What is so before the plan is executed. */
  readonly planned = ({ phase, conditions }: ClusterPlan): void => {
    const open = conditions.find(({ status }) => status !== 'True');
    this.#phase = phase;
    this.#message = open === undefined ? 'conductors and stores are online' : open.message;
    this.#isSettled = open === undefined && phase !== 'Starting' && phase !== 'Pending';
    if (this.isNews('phase', `${phase}: ${this.#message}`)) this.#say(`${this.#seconds()} s  ${phase}: ${this.#message}`);
  };

  executed({ results, awaited }: Round, reports: readonly InstanceReport[], hints: readonly string[]): void {
    for (const { name, error } of results) {
      // Its waiting was ended, by an edit or by Ctrl-C: nothing went wrong.
      if (error?.code === 'CANCELLED') continue;
      const text = error === null ? '' : formatErrorChain(error);
      if (this.isNews(name, text) && text !== '') this.#say(`  ${text}`);
    }
    const volumes = awaited.join(', ');
    if (this.isNews('awaited', volumes) && volumes !== '')
      this.#say(`  waiting for the creation of ${volumes}, to serve it over NBD`);
    this.#isQuiet = this.#isSettled && awaited.length === 0 && reports.every((report) => report.isOnline && report.isCurrent);
    if (this.#phase !== 'Ready' || this.#hasBeenReady) return;
    this.#hasBeenReady = true;
    for (const hint of hints) this.#say(hint);
  }

  /** Whether `text` is another one than last time. */
  isNews(topic: string, text: string): boolean {
    if ((this.#said.get(topic) ?? '') === text) return false;
    this.#said.set(topic, text);
    return true;
  }

  #seconds(): string {
    return ((this.#clock.now() - this.#startedAt) / 1000).toFixed(1).padStart(6);
  }
}
