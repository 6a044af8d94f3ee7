// `pureflash down`: stops every daemon of a data folder, fronts first, conductors last. A `pureflash up` that runs there does it itself
// and ends. The data stays.
import { formatErrorChain, PfError } from '@pureflash/datapath/base';
import { parseFlags, type CommandSpec } from '@pureflash/datapath/cli';
import type { World } from '@pureflash/datapath/world';
import { dataFolder, type DataFolder } from '../host-paths.ts';
import { LocalPlatform } from '../local-platform.ts';
import { DATA_FLAG } from './data-flag.ts';
import { askSupervisor } from './supervisor-control.ts';
import type { Terminal, Verb } from './terminal.ts';

const SPEC = {
  name: 'pureflash down',
  summary: 'Stops the daemons of the cluster in a data folder; its data stays, and `pureflash up` starts it again.',
  flags: { data: DATA_FLAG },
} as const satisfies CommandSpec;

const PATIENCE_MS = 60_000;
const LOOK_AGAIN_MS = 100;

export const down: Verb = {
  summary: 'stop the cluster; its data stays',
  async run(terminal, argv) {
    const parsed = parseFlags(SPEC, argv);
    if (parsed.isHelp) {
      terminal.out(parsed.helpText.trimEnd());
      return 0;
    }
    const world = await terminal.openWorld();
    try {
      await stopAll(terminal, world, dataFolder(terminal.resolve(parsed.flags.data)));
      return 0;
    } finally {
      await world.close();
    }
  },
};

async function stopAll(terminal: Terminal, world: World, data: DataFolder): Promise<void> {
  if ((await world.files.read(data.stateFile)) === null) {
    terminal.out(`there is no cluster in ${data.root}`);
    return;
  }
  const supervisor = await askSupervisor(world, data, 'stop');
  if (supervisor !== null) {
    terminal.out(`"pureflash up" (process ${supervisor.pid}) stops the cluster`);
    await untilGone(world, data, supervisor.pid);
  }
  await using platform = await LocalPlatform.open(world, { data, programs: terminal.programs });
  const results = await platform.stop();
  const failed = results.filter((each) => each.error !== null);
  if (failed.length > 0)
    throw new PfError(
      'INTERNAL',
      `cannot stop ${failed.map(({ name, error }) => `${name}: ${formatErrorChain(error)}`).join('; ')}`,
    );
  for (const { name } of results) terminal.out(`  ${name} stopped`);
  terminal.out(`stopped; the data stays in ${data.root}`);
}

async function untilGone(world: World, data: DataFolder, pid: number): Promise<void> {
  const deadline = world.clock.now() + PATIENCE_MS;
  while ((await world.processes.identify(pid)) !== null) {
    if (world.clock.now() > deadline)
      throw new PfError('TIMEOUT', `"pureflash up" (process ${pid}) has not ended within ${PATIENCE_MS} ms; see ${data.log}`);
    await world.clock.sleep(LOOK_AGAIN_MS);
  }
}
