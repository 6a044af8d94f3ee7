// Everything at once, by a seed: kills, stops, starts, changes, hangs, and managers that come and go. In the end what runs is what is wished.
// PF_SOAK_STEPS (default 60) and PF_SOAK_SEED choose; the seed is in every message.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ServiceSet } from './service-set.ts';
import { define, inRig, messageOf, processesOf, readOrEmpty, TEST_TIMINGS, type Rig } from './testing/daemon-rig.ts';

const STEPS = Number(process.env['PF_SOAK_STEPS'] ?? 60);
const SEED = Number(process.env['PF_SOAK_SEED'] ?? 1);
const NAMES = ['a', 'b', 'c'];
const POLICY = { mode: 'always', firstDelayMs: 5, maxDelayMs: 20, stableAfterMs: 0, crashLimit: 1000 } as const;

class Soak {
  readonly #rig: Rig;
  readonly values = new Map(NAMES.map((name) => [name, { live: 0, restart: 0 }]));
  readonly wished = new Set(NAMES);
  set: ServiceSet | null = null;
  #state = SEED;

  constructor(rig: Rig) {
    this.#rig = rig;
  }

  below(limit: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * limit);
  }

  async openSet(): Promise<void> {
    await this.set?.close();
    const { world, folder } = this.#rig;
    this.set = await ServiceSet.open(world, { runFolder: join(folder, 'run'), logFolder: join(folder, 'log'), orphans: 'stop' });
  }

  manage(): Promise<unknown> {
    const definitions = [...this.wished].map((name) => {
      const { live, restart } = this.values.get(name)!;
      const timings = { ...TEST_TIMINGS, pingIntervalMs: 50, pingTimeoutMs: 1500, endAfterOfflineMs: 3000, termMs: 1000 };
      return define(name, { value: live, restart }, { restartPart: { restart }, policy: POLICY, timings });
    });
    return this.set!.manageAll(definitions);
  }

  /** One disturbance; what it started may go on. */
  async disturb(): Promise<string> {
    const name = NAMES[this.below(NAMES.length)]!;
    const service = this.set!.get(name);
    const { pid = null } = service ?? {};
    const values = this.values.get(name)!;
    switch (this.below(9)) {
      case 0:
      case 1:
        if (pid !== null) signal(pid, 'SIGKILL');
        return `kill ${name}`;
      case 2:
        if (pid !== null) signal(pid, 'SIGSTOP');
        return `freeze ${name}`;
      case 3:
        void messageOf(service?.stop() ?? Promise.resolve());
        return `stop ${name}`;
      case 4:
        void messageOf(service?.start() ?? Promise.resolve());
        return `start ${name}`;
      case 5:
        values.live += 1;
        void this.manage();
        return `change ${name}`;
      case 6:
        values.restart += 1;
        void this.manage();
        return `restart ${name}`;
      case 7:
        if (!this.wished.delete(name)) this.wished.add(name);
        await this.manage();
        return `wish ${name}: ${this.wished.has(name)}`;
      default:
        await this.openSet();
        void this.manage();
        return 'another manager';
    }
  }
}

function signal(pid: number, name: 'SIGKILL' | 'SIGSTOP'): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as { code?: string }).code !== 'ESRCH') throw error;
  }
}

test(
  `after ${STEPS} disturbances of seed ${SEED} exactly what is wished runs`,
  inRig(async (rig) => {
    const soak = new Soak(rig);
    await soak.openSet();
    await soak.manage();
    const told: string[] = [];
    for (let at = 0; at < STEPS; at += 1) {
      told.push(await soak.disturb());
      await rig.world.clock.sleep(soak.below(60)); // The pace of the disturbances, not a wait for a state.
      for (const name of NAMES) {
        const alive = processesOf(join(rig.folder, 'run')).filter((pid) =>
          readOrEmpty(`/proc/${pid}/cmdline`).includes(`\0${name}\0`),
        );
        assert.ok(alive.length <= 1, `${alive.length} processes of ${name}, seed ${SEED}: ${told.join('; ')}`);
      }
    }
    for (const name of NAMES) soak.wished.add(name);
    await soak.manage();
    for (const name of NAMES) await soak.set!.get(name)!.start();
    const services = soak.set!.statedump().services;
    const story = `seed ${SEED}: ${told.join('; ')}`;
    assert.equal(processesOf(rig.folder).sort(), services.map(({ pid }) => pid!).sort(), story);
    for (const { name, isOnline, phase } of services) {
      assert.equal([phase, isOnline], ['running', true], `${name}, ${story}`);
      const state = (await soak.set!.get(name)!.request('state', null, 5000)) as { value: number };
      assert.is(state.value, soak.values.get(name)!.live, `${name}, ${story}`);
    }
    await soak.set!.stopAll();
    assert.equal(processesOf(rig.folder), [], story);
    await soak.set!.close();
    const left = readdirSync(join(rig.folder, 'run')).filter((file) => file.endsWith('.process.json'));
    assert.equal(left, [], story);
  }),
);

test.run();
