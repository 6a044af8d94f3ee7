// Plans keep to their knobs; the runner carries them out and leaves a healed world.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { CORRUPTING, formatFaults, IMPAIRING, planFaults } from './fault-plan.ts';
import type { FaultKnobs, PlannedFault } from './fault-plan.ts';
import { FaultRunner } from './fault-runner.ts';
import { SeededRandom } from './seeded-random.ts';
import type { SimHost } from './sim-host.ts';
import { Simulator } from './simulator.ts';

const KNOBS: FaultKnobs = {
  groups: [
    { hosts: ['s1', 's2', 's3'], maxImpaired: 1, maxCorruptible: 1 },
    { hosts: ['c1', 'c2', 'c3', 'c4', 'c5'], maxImpaired: 2, maxCorruptible: 0 },
    { hosts: ['client'], maxImpaired: 0, maxCorruptible: 0 },
  ],
  startMs: 100,
  endMs: 20_000,
  impairEveryMs: 500,
  disturbEveryMs: 1000,
  corruptEveryMs: 2000,
  meanDurationMs: 400,
  recoveryMs: 300,
};

const isOneOf = (names: readonly string[], fault: PlannedFault): boolean => names.includes(fault.kind);

test('a plan is the same for the same seed, and lies within its time', () => {
  const plan = planFaults(new SeededRandom(5), KNOBS);
  assert.equal(planFaults(new SeededRandom(5), KNOBS), plan);
  assert.not.equal(planFaults(new SeededRandom(6), KNOBS), plan);
  assert.ok(plan.length > 50, `${plan.length} faults`);
  for (const fault of plan) assert.ok(fault.atMs >= 100 && fault.atMs < fault.untilMs && fault.untilMs <= 20_000);
  assert.match(formatFaults(plan.slice(0, 1)), /^\d+\.\.\d+ ms: [a-z-]+ \w+( - \w+)?$/);
});

test('never more machines of a group are in trouble than it can bear, and one recovers before the next goes', () => {
  for (let seed = 1; seed <= 100; seed += 1) {
    const plan = planFaults(new SeededRandom(seed), KNOBS).filter((fault) => isOneOf(IMPAIRING, fault));
    for (const group of KNOBS.groups) {
      const own = plan.filter((fault) => group.hosts.includes(fault.host));
      for (const fault of own) {
        const atOnce = own.filter((other) => other.atMs <= fault.atMs && fault.atMs < other.untilMs + KNOBS.recoveryMs);
        assert.ok(atOnce.length <= group.maxImpaired, `seed ${seed}: ${formatFaults(atOnce)}`);
        assert.is(new Set(atOnce.map((other) => other.host)).size, atOnce.length);
      }
    }
  }
});

test('corrupting disks are confined to one machine of the group for the whole run', () => {
  for (let seed = 1; seed <= 50; seed += 1) {
    const victims = new Set(
      planFaults(new SeededRandom(seed), KNOBS)
        .filter((fault) => isOneOf(CORRUPTING, fault))
        .map((fault) => fault.host),
    );
    assert.ok(victims.size <= 1 && [...victims].every((host) => host.startsWith('s')));
  }
});

test('the runner restarts what it killed and leaves everything healed', async () => {
  const sim = new Simulator(11);
  const start = (host: SimHost): void => {
    host.startProcess('daemon', async (world) => {
      const disk = await world.disks.open('/disk', { createSizeBytes: 1 << 20 });
      const memory = world.memory.reserve(4096);
      world.clock.every(5, () => disk.write(0, memory, 4096, true, { complete() {} }));
    });
  };
  const names = KNOBS.groups.flatMap((group) => group.hosts);
  for (const name of names) start(sim.machine(name));
  const plan = planFaults(sim.random.fork('faults'), KNOBS);
  let restarts = 0;
  const runner = new FaultRunner(sim, plan, (host) => {
    restarts += 1;
    start(host);
  });
  await sim.run(25_000);
  assert.is(runner.begun.length, plan.length);
  assert.is(restarts, plan.filter((fault) => fault.kind === 'kill' || fault.kind === 'power-cut').length);
  assert.ok(restarts > 5);
  assert.equal(runner.activeFaults, []);
  for (const host of sim.hosts.values()) {
    assert.ok(host.isPowered && host.processes.get('daemon')!.isAlive && !host.processes.get('daemon')!.isPaused);
    assert.equal([...new Set(Object.values(host.disk('/disk').faults))], [0]);
    for (const other of sim.hosts.values()) assert.ok(sim.network.links.isOpen(host, other));
  }
});

test.run();
