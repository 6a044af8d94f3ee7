// `pureflash up`: brings a cluster up from its YAML and keeps it running until Ctrl-C. An edit of the file takes effect while it runs.
import { errorCodeOf, formatErrorChain, PfError } from '@pureflash/datapath/base';
import { parseFlags, type CommandSpec } from '@pureflash/datapath/cli';
import type { World } from '@pureflash/datapath/world';
import { parseClusterFile, type ClusterFile } from '../cluster-file.ts';
import { dataFolder, exportSocket, FIRST_HOST_NUMBER, HOSTS_MAX, type DataFolder } from '../host-paths.ts';
import type { InstanceReport } from '../instances.ts';
import { LocalCluster, type LocalWish } from '../local-cluster.ts';
import { DATA_FLAG } from './data-flag.ts';
import { askSupervisor, serveSupervisor } from './supervisor-control.ts';
import type { Terminal, Verb } from './terminal.ts';
import { UpReport } from './up-report.ts';

const SPEC = {
  name: 'pureflash up',
  summary: 'Starts a cluster on this machine, and keeps it running until Ctrl-C, which stops it; data and logs stay.',
  flags: {
    file: { kind: 'string', short: 'f', help: 'YAML with a StorageCluster', placeholder: 'FILE', isRequired: true },
    data: DATA_FLAG,
    hosts: {
      kind: 'integer',
      help: 'simulated hosts, each with an address and a store of its own (default 3, or as before)',
      minimum: 1,
      maximum: HOSTS_MAX,
    },
    subnet: {
      kind: 'string',
      help: 'first three numbers of their loopback addresses (default 127.0.0, or as before)',
      placeholder: 'A.B.C',
    },
    serve: {
      kind: 'list',
      help: 'serve this volume over NBD, at VOLUME.sock in the data folder, once it exists (default: those served before)',
      placeholder: 'VOLUME',
    },
    keep: { kind: 'boolean', help: 'leave the daemons running at Ctrl-C; the next `up` takes them over' },
  },
  examples: ['pureflash up -f cluster.yaml', 'pureflash up -f cluster.yaml --data /tmp/lab --hosts 5 --serve v1'],
} as const satisfies CommandSpec;

const LOOK_AT_FILE_MS = 500;
/** Between two rounds when all is well; something that happens brings the next one at once. */
const QUIET_MS = 5000;
const BUSY_MS = 500;

export const up: Verb = {
  summary: 'start a cluster from a StorageCluster, and keep it running until Ctrl-C',
  async run(terminal, argv) {
    const parsed = parseFlags(SPEC, argv);
    if (parsed.isHelp) {
      terminal.out(parsed.helpText.trimEnd());
      return 0;
    }
    const { file, data: folder, hosts, subnet, serve, keep } = parsed.flags;
    const world = await terminal.openWorld();
    try {
      const data = dataFolder(terminal.resolve(folder));
      const supervisor = new Supervisor(terminal, world, data, {
        path: terminal.resolve(file),
        shownPath: file,
        hosts,
        subnet,
        serve,
      });
      await supervisor.run(keep === true);
      return 0;
    } finally {
      await world.close();
    }
  },
};

interface Source {
  readonly path: string;
  readonly shownPath: string;
  readonly hosts: number | undefined;
  readonly subnet: string | undefined;
  readonly serve: readonly string[];
}

class Supervisor {
  readonly #terminal: Terminal;
  readonly #world: World;
  readonly #data: DataFolder;
  readonly #source: Source;
  readonly #report: UpReport;
  readonly #stopping = new AbortController();
  #somethingHappened = Promise.withResolvers<void>();
  #text: string | null = null;

  constructor(terminal: Terminal, world: World, data: DataFolder, source: Source) {
    this.#terminal = terminal;
    this.#world = world;
    this.#data = data;
    this.#source = source;
    this.#report = new UpReport((line) => terminal.out(line), world.clock);
  }

  async run(isKept: boolean): Promise<void> {
    const cluster = await this.#open();
    const stop = (): void => this.#stopping.abort(new PfError('CANCELLED', 'interrupted'));
    let isStopped = false;
    try {
      const dump = () => ({ ...this.#report.state, instances: cluster.reports() });
      await using _control = await serveSupervisor(this.#world, this.#data, this.#terminal.pid, {
        dump,
        stop: () => {
          isStopped = true;
          stop();
        },
      });
      void this.#terminal.interrupted.then(stop);
      const first = await this.#readFile(cluster);
      const { name, hosts, subnet } = this.#wish(cluster, first);
      this.#terminal.out(`cluster "${name}" in ${this.#data.root}: ${hosts} hosts, from ${subnet}.${FIRST_HOST_NUMBER} on`);
      await this.#supervise(cluster, first);
      if (isKept && !isStopped)
        this.#terminal.out('the daemons run on; `pureflash up` takes them over again, `pureflash down` stops them');
      else await this.#stop(cluster);
    } finally {
      await cluster.close();
    }
  }

  async #open(): Promise<LocalCluster> {
    const { programs, parseTime } = this.#terminal;
    const onNotice: UpReport['notice'] = (report, notice) => {
      this.#report.notice(report, notice);
      if (notice === 'exited' || notice === 'disconnected') this.#somethingHappened.resolve();
      if (notice === 'exited') void this.#sayLastLine(report);
    };
    try {
      return await LocalCluster.open(this.#world, {
        data: this.#data,
        programs,
        parseTime,
        onNotice,
        onPlan: this.#report.planned,
      });
    } catch (error) {
      if (errorCodeOf(error) !== 'INVALID_STATE') throw error;
      const other = await askSupervisor(this.#world, this.#data, 'ping');
      const who = other === null ? 'another call of pureflash' : `"pureflash up" (process ${other.pid})`;
      throw new PfError('INVALID_STATE', `cannot use ${this.#data.root}: ${who} runs there; end it, or choose another --data`, {
        cause: error,
      });
    }
  }

  async #sayLastLine({ name, logPath }: InstanceReport): Promise<void> {
    const [line = ''] = await this.#terminal.tail(logPath, 1).catch(() => []); // The log is a help, no more.
    if (this.#report.isNews(`${name} said`, line)) this.#terminal.out(`    its log ends: ${line}`);
  }

  /** Rounds until it is told to stop; an edit of the file ends the waiting of a round. Errors: a spec that is refused in the first round. */
  async #supervise(cluster: LocalCluster, first: ClusterFile): Promise<void> {
    const { signal: stopping } = this.#stopping;
    let file = first;
    for (let isFirst = true; !stopping.aborted; isFirst = false) {
      this.#somethingHappened = Promise.withResolvers<void>();
      const over = new AbortController();
      const signal = AbortSignal.any([stopping, over.signal]);
      const edited = this.#nextEdit(cluster, signal).finally(() => over.abort(new PfError('CANCELLED', 'the round is over')));
      try {
        await this.#round(cluster, file, isFirst, signal);
        await Promise.race([
          edited,
          this.#somethingHappened.promise,
          this.#sleep(this.#report.isQuiet ? QUIET_MS : BUSY_MS, signal),
        ]);
      } finally {
        over.abort(new PfError('CANCELLED', 'the round is over'));
      }
      file = (await edited) ?? file;
    }
  }

  /** Failures of a first round end the program; later ones are said, and the next round tries again. */
  async #round(cluster: LocalCluster, file: ClusterFile, isFirst: boolean, signal: AbortSignal): Promise<void> {
    try {
      const round = await cluster.round(this.#wish(cluster, file), signal);
      const refused = round.plan.conditions.find(({ type, status }) => type === 'Accepted' && status === 'False');
      if (isFirst && refused !== undefined)
        throw new PfError('INVALID_ARGUMENT', `${this.#source.shownPath}: ${refused.message}`);
      this.#report.executed(round, cluster.reports(), this.#hints(cluster, round.plan.endpoints));
    } catch (error) {
      if (signal.aborted) return;
      if (isFirst) throw error;
      const message = formatErrorChain(error);
      if (this.#report.isNews('round', message)) this.#terminal.error(`pureflash: ${message}; trying again`);
    }
  }

  #wish({ state }: LocalCluster, { name, spec }: ClusterFile): LocalWish {
    const { hosts, subnet, serve } = this.#source;
    const wanted = hosts ?? state?.hosts ?? 3;
    return {
      name,
      spec,
      // A host with a store stays: its data would have to be moved first.
      hosts: Math.max(wanted, state?.hosts ?? 0),
      subnet: subnet ?? state?.subnet ?? '127.0.0',
      served: serve.length > 0 ? [...new Set(serve)] : (state?.served ?? []),
    };
  }

  /** The file when it was edited and can be read; null when the signal comes first. */
  async #nextEdit(cluster: LocalCluster, signal: AbortSignal): Promise<ClusterFile | null> {
    while (!signal.aborted) {
      const edited = await this.#changedFile(cluster);
      if (edited !== null) return edited;
      await this.#sleep(LOOK_AT_FILE_MS, signal);
    }
    return null;
  }

  async #sleep(ms: number, signal: AbortSignal): Promise<void> {
    await this.#world.clock.sleep(ms, signal).catch(() => {}); // Who sleeps looks at the signal itself.
  }

  async #changedFile(cluster: LocalCluster): Promise<ClusterFile | null> {
    const before = this.#text;
    try {
      const text = await this.#readText();
      if (text === before) return null;
      this.#terminal.out(`${this.#source.shownPath} was changed`);
      return await this.#readFile(cluster);
    } catch (error) {
      const message = formatErrorChain(error);
      if (this.#report.isNews('file', message))
        this.#terminal.error(`${message}\nthe cluster stays as it is until the file is right`);
      return null;
    }
  }

  async #readFile({ state }: LocalCluster): Promise<ClusterFile> {
    const { shownPath } = this.#source;
    const text = await this.#readText();
    this.#text = text;
    const file = parseClusterFile(shownPath, text, state?.spec ?? null);
    if (state !== null && state.name !== file.name)
      throw new PfError(
        'INVALID_ARGUMENT',
        `cannot use ${this.#data.root} for "${file.name}": the cluster "${state.name}" lies there; choose another --data`,
      );
    this.#report.isNews('file', '');
    for (const other of file.others)
      this.#terminal.out(`${shownPath}: ${other} is left out: on this machine only the StorageCluster is looked at`);
    return file;
  }

  async #readText(): Promise<string> {
    const { path, shownPath } = this.#source;
    const bytes = await this.#world.files.read(path);
    if (bytes === null) throw new PfError('NOT_FOUND', `cannot read ${shownPath}: there is no such file`);
    return new TextDecoder().decode(bytes);
  }

  #hints({ state }: LocalCluster, endpoints: readonly string[]): readonly string[] {
    const [first = ''] = endpoints;
    const exports = (state?.served ?? []).map(
      (volume) => `NBD           nbd+unix:///?socket=${exportSocket(this.#data, volume)}`,
    );
    return [
      `status page   http://${first}/`,
      `try           export PUREFLASH_CONDUCTOR=${endpoints.join(',')}`,
      '              pfcli list_store',
      '              pfcli create_volume -v v1 -s 1G --rep 3',
      ...exports,
      `logs          ${this.#data.log}`,
      'Ctrl-C stops the cluster; its data stays.',
    ];
  }

  async #stop(cluster: LocalCluster): Promise<void> {
    this.#terminal.out('stopping: fronts, stores, conductors');
    const failed = (await cluster.stop()).filter((result) => result.error !== null);
    if (failed.length === 0) return this.#terminal.out(`stopped; the data stays in ${this.#data.root}`);
    throw new PfError('INTERNAL', failed.map(({ name, error }) => `${name}: ${formatErrorChain(error)}`).join('; '));
  }
}
