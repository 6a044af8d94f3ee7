// Carries a fault plan out on a simulated run: each fault begins and ends at its time. Only the harness knows how to start
// its programs again, so it gives `restart`, called for a machine whose programs were killed or lost power.
import { assert } from '../base/assert.ts';
import type { FaultName, PlannedFault } from './fault-plan.ts';
import type { DiskFaults } from './sim-disk-device.ts';
import type { SimHost } from './sim-host.ts';
import type { Simulator } from './simulator.ts';

/** Chances per request while a disk fault lasts. */
const DISK_FAULTS: Partial<Record<FaultName, Partial<DiskFaults>>> = {
  'disk-errors': { readError: 0.2, writeError: 0.2, flushError: 0.2 },
  'bit-rot': { bitRot: 0.02 },
  'lost-writes': { lostWrite: 0.02 },
  'misdirected-writes': { misdirectedWrite: 0.01 },
  'torn-writes': { tornWrite: 0.02 },
};

export class FaultRunner {
  /** Faults that have begun, for the report and for "did this run test anything". */
  readonly begun: PlannedFault[] = [];
  readonly #sim: Simulator;
  readonly #restart: (host: SimHost) => void;
  readonly #active = new Set<PlannedFault>();

  constructor(sim: Simulator, plan: readonly PlannedFault[], restart: (host: SimHost) => void) {
    this.#sim = sim;
    this.#restart = restart;
    for (const fault of plan) {
      sim.schedule(Math.max(0, fault.atMs - sim.now), () => this.#begin(fault), `fault ${fault.kind}`);
      sim.schedule(Math.max(0, fault.untilMs - sim.now), () => this.#end(fault), `end of ${fault.kind}`);
    }
  }

  get activeFaults(): readonly PlannedFault[] {
    return [...this.#active];
  }

  #begin(fault: PlannedFault): void {
    this.begun.push(fault);
    this.#active.add(fault);
    this.#say('begins', fault);
    const host = this.#host(fault.host);
    const other = fault.other === null ? null : this.#host(fault.other);
    const { network } = this.#sim;
    if (fault.kind === 'kill') for (const process of host.processes.values()) process.kill();
    if (fault.kind === 'power-cut') host.powerOff();
    if (fault.kind === 'pause') for (const process of host.processes.values()) process.pause();
    if (fault.kind === 'stall') network.links.stall(host, other!, fault.untilMs - this.#sim.now);
    if (fault.kind === 'resets') network.resetConnections(host, other!);
    if (fault.kind === 'stuck-disk') for (const device of host.disks.values()) device.setStuck(true);
    this.#applyStates();
  }

  #end(fault: PlannedFault): void {
    if (!this.#active.delete(fault)) return;
    this.#say('ends', fault);
    const host = this.#host(fault.host);
    if (fault.kind === 'power-cut') host.powerOn();
    if (fault.kind === 'pause') for (const process of host.processes.values()) process.resume();
    if (fault.kind === 'stuck-disk') for (const device of host.disks.values()) device.setStuck(false);
    this.#applyStates();
    if (fault.kind === 'kill' || fault.kind === 'power-cut') this.#restart(host);
  }

  /** Lasting states are recomputed from all active faults, because faults overlap. */
  #applyStates(): void {
    const { network } = this.#sim;
    const hosts = [...this.#sim.hosts.values()];
    network.healAll();
    network.faults.answerLostChance = 0;
    network.faults.requestLostChance = 0;
    for (const host of hosts) {
      for (const device of host.disks.values()) {
        device.slowFactor = 1;
        for (const kind of Object.keys(device.faults) as (keyof DiskFaults)[]) device.faults[kind] = 0;
      }
    }
    for (const fault of this.#active) this.#applyState(fault, hosts);
  }

  #applyState(fault: PlannedFault, hosts: readonly SimHost[]): void {
    const { network } = this.#sim;
    const host = this.#host(fault.host);
    if (fault.kind === 'isolate') network.partition([host], hosts);
    if (fault.kind === 'mute') for (const each of hosts) network.partitionOneWay(host, each);
    if (fault.kind === 'deafen') for (const each of hosts) network.partitionOneWay(each, host);
    if (fault.kind === 'cut-link') network.partition([host], [this.#host(fault.other!)]);
    if (fault.kind === 'slow-disk') for (const device of host.disks.values()) device.slowFactor = 20;
    if (fault.kind === 'lost-answers') {
      network.faults.answerLostChance = 0.1;
      network.faults.requestLostChance = 0.1;
    }
    const chances = DISK_FAULTS[fault.kind];
    if (chances !== undefined) for (const device of host.disks.values()) Object.assign(device.faults, chances);
  }

  #host(name: string): SimHost {
    const host = this.#sim.hosts.get(name);
    assert(host !== undefined, `the fault plan names a machine "${name}" that the run does not have`);
    return host;
  }

  #say(what: string, fault: PlannedFault): void {
    this.#sim.log.append(
      `${this.#sim.now.toFixed(3)} fault ${what}: ${fault.kind} ${fault.host}${fault.other === null ? '' : ` - ${fault.other}`}`,
    );
  }
}
