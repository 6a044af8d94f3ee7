// `pureflash status`: what runs, also when no `pureflash up` does: from the records of the processes, their control sockets, and the
// conductors' HTTP API. It changes nothing.
import { formatTable } from '@pureflash/datapath/base';
import { parseFlags, type CommandSpec } from '@pureflash/datapath/cli';
import { askDaemon, controlSocketPath, fileStem, RecordFolder } from '@pureflash/datapath/daemon';
import type { World } from '@pureflash/datapath/world';
import { readControl } from '../../cluster/control.ts';
import type { ControlView } from '../../plan/view.ts';
import { dataFolder, type DataFolder } from '../host-paths.ts';
import { conductorName, frontName, storeName, type InstanceReport } from '../instances.ts';
import { kindOf } from '../kinds/registry.ts';
import { readState, type LocalState } from '../local-state.ts';
import { DATA_FLAG } from './data-flag.ts';
import { askSupervisor, type SupervisorDump } from './supervisor-control.ts';
import type { Verb } from './terminal.ts';

const SPEC = {
  name: 'pureflash status',
  summary: 'Shows what runs of the cluster in a data folder. The exit code is 0 when everything is online, else 1.',
  flags: { data: DATA_FLAG, json: { kind: 'boolean', help: 'everything, as JSON' } },
} as const satisfies CommandSpec;

const ANSWER_MS = 2000;

interface InstanceStatus extends Omit<InstanceReport, 'restarts' | 'isCurrent'> {
  /** Null: only a supervisor knows. */
  readonly restarts: number | null;
  readonly isCurrent: boolean | null;
}

interface LocalStatus {
  readonly cluster: string | null;
  readonly supervisor: { readonly pid: number; readonly phase: string; readonly message: string } | null;
  readonly instances: readonly InstanceStatus[];
  readonly control: ControlView | null;
}

export const status: Verb = {
  summary: 'show what runs, and how it is',
  async run(terminal, argv) {
    const parsed = parseFlags(SPEC, argv);
    if (parsed.isHelp) {
      terminal.out(parsed.helpText.trimEnd());
      return 0;
    }
    const world = await terminal.openWorld();
    try {
      const data = dataFolder(terminal.resolve(parsed.flags.data));
      const found = await look(world, data);
      terminal.out(parsed.flags.json === true ? JSON.stringify(found, null, 2) : render(found, data));
      const { instances, control } = found;
      return control !== null && instances.every((each) => each.isOnline) ? 0 : 1;
    } finally {
      await world.close();
    }
  },
};

async function look(world: World, data: DataFolder): Promise<LocalStatus> {
  const state = await readState(world, data.stateFile);
  const answer = await askSupervisor(world, data, 'statedump');
  const dump = answer?.body as unknown as SupervisorDump | undefined;
  const names = new Set([...namesOf(state), ...(await new RecordFolder(world, data.run).names())]);
  const known = new Map((dump?.instances ?? []).map((each) => [each.name, each]));
  const instances = await Promise.all([...names].map(async (name) => known.get(name) ?? (await lookAt(world, data, name))));
  const endpoints = (state?.conductors ?? []).map(({ instance }) => `${instance.address}:${instance.port}`);
  return {
    cluster: state?.name ?? null,
    supervisor: answer === null || dump === undefined ? null : { pid: answer.pid, phase: dump.phase, message: dump.message },
    instances: instances.sort((a, b) => (a.name < b.name ? -1 : 1)),
    control: await readControl(world, endpoints),
  };
}

function namesOf(state: LocalState | null): readonly string[] {
  if (state === null) return [];
  return [
    ...state.conductors.map(({ instance }) => conductorName(instance.ordinal)),
    ...state.stores.map(({ instance }) => storeName(instance.node)),
    ...state.served.map(frontName),
  ];
}

/** Its control socket is what counts: who answers there is the daemon, whatever a record says. */
async function lookAt(world: World, data: DataFolder, name: string): Promise<InstanceStatus> {
  const socketPath = controlSocketPath(world, data.run, name);
  const logPath = `${data.log}/${fileStem(name)}.log`;
  const base = { name, kind: kindOf(name), logPath, restarts: null, isCurrent: null };
  try {
    const { pid } = await askDaemon(world, { name, socketPath }, 'ping', null, ANSWER_MS);
    return { ...base, isOnline: true, pid, lastFailure: null };
  } catch {
    const identity = (await new RecordFolder(world, data.run).read(name))?.identity ?? null;
    const found = identity === null ? null : await world.processes.identify(identity.pid);
    const isSame = found !== null && found.startTicks === identity!.startTicks && found.bootId === identity!.bootId;
    const lastFailure = isSame ? 'it does not answer at its control socket' : identity === null ? null : 'its process has ended';
    return { ...base, isOnline: false, pid: isSame ? found.pid : null, lastFailure };
  }
}

function render({ cluster, supervisor, instances, control }: LocalStatus, data: DataFolder): string {
  if (cluster === null && instances.length === 0)
    return `there is no cluster in ${data.root}; start one with: pureflash up -f cluster.yaml --data ${data.root}`;
  const who = supervisor === null ? 'nobody keeps it running: start `pureflash up`' : `kept running by process ${supervisor.pid}`;
  const head = [`cluster ${cluster ?? '?'} in ${data.root}; ${who}`];
  if (supervisor !== null) head.push(`${supervisor.phase}: ${supervisor.message}`);
  head.push(control === null ? 'no conductor answers' : describe(control), '');
  const rows = instances.map((each) => [
    each.name,
    each.isOnline ? 'online' : each.pid === null ? 'stopped' : 'offline',
    each.pid === null ? '-' : String(each.pid),
    each.restarts === null ? '-' : String(each.restarts),
    each.isCurrent === null ? '-' : each.isCurrent ? 'current' : 'outdated',
    each.lastFailure ?? '-',
  ]);
  return [...head, formatTable(['instance', 'state', 'pid', 'restarts', 'settings', 'last failure'], rows).trimEnd()].join('\n');
}

function describe({ stores, volumeCount, degradedCount, degraded }: ControlView): string {
  const online = stores.filter((store) => store.isOnline).length;
  const volumes =
    degradedCount === 0
      ? `${volumeCount} volumes`
      : `${volumeCount} volumes, ${degradedCount} of them degraded: ${degraded.join(', ')}`;
  return `conductor: ${online} of ${stores.length} stores online, ${volumes}`;
}
