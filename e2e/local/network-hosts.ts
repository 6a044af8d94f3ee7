// Hosts with several networks, on one machine: each host is a network namespace that a sleeping process holds, and each network a bridge in
// one more, which also has an address in every network that it is said to use. Everything goes with the processes. For suites that run as
// root.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { once } from 'node:events';

export interface NetworkPlan {
  /** Name of the interface on every host, and the first three numbers of the addresses: `{ client: '10.91.0' }`. */
  readonly [name: string]: string;
}

const HUB_NUMBER = 100;

export class NetworkHosts {
  readonly #hub: NetworkHost;
  readonly hosts: readonly NetworkHost[];

  private constructor(hub: NetworkHost, hosts: readonly NetworkHost[]) {
    this.#hub = hub;
    this.hosts = hosts;
  }

  /** Host n (from 1) has the number n in every network, the hub 100 in those of `reached`. */
  static async open(count: number, plan: NetworkPlan, reached: readonly string[]): Promise<NetworkHosts> {
    const hub = await NetworkHost.start(HUB_NUMBER);
    const hosts: NetworkHost[] = [];
    const opened = new NetworkHosts(hub, hosts);
    try {
      for (const [name, prefix] of Object.entries(plan)) {
        hub.ip('link', 'add', name, 'type', 'bridge');
        if (reached.includes(name)) hub.ip('address', 'add', `${prefix}.${HUB_NUMBER}/24`, 'dev', name);
        hub.ip('link', 'set', name, 'up');
      }
      for (let number = 1; number <= count; number += 1) {
        const host = await NetworkHost.start(number);
        hosts.push(host);
        for (const [name, prefix] of Object.entries(plan)) {
          const end = `${name}-${number}`;
          hub.ip('link', 'add', end, 'type', 'veth', 'peer', 'name', name, 'netns', String(host.pid));
          hub.ip('link', 'set', end, 'master', name, 'up');
          host.ip('address', 'add', `${prefix}.${number}/24`, 'dev', name);
          host.ip('link', 'set', name, 'up');
        }
      }
      return opened;
    } catch (error) {
      opened.close();
      throw error;
    }
  }

  /** Where clients and the conductor are. */
  get hub(): NetworkHost {
    return this.#hub;
  }

  close(): void {
    for (const host of [...this.hosts, this.#hub]) host.close();
  }
}

export class NetworkHost {
  readonly number: number;
  readonly #holder: ChildProcess;

  private constructor(number: number, holder: ChildProcess) {
    this.number = number;
    this.#holder = holder;
  }

  static async start(number: number): Promise<NetworkHost> {
    const holder = spawn('unshare', ['--net', 'sh', '-c', 'echo ready; exec sleep infinity'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await Promise.race([
      once(holder.stdout, 'data'),
      once(holder, 'exit').then(() => Promise.reject(new Error('cannot make a network namespace'))),
    ]);
    const host = new NetworkHost(number, holder);
    host.ip('link', 'set', 'lo', 'up');
    return host;
  }

  get pid(): number {
    return this.#holder.pid!;
  }

  /** The same command, in this host's networks. */
  inside(...command: readonly string[]): string[] {
    return ['nsenter', `--net=/proc/${this.pid}/ns/net`, ...command];
  }

  ip(...words: readonly string[]): void {
    const [program, ...args] = this.inside('ip', ...words);
    execFileSync(program!, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  }

  /** Bytes that have come in and gone out by an interface. */
  traffic(name: string): { readonly received: number; readonly sent: number } {
    const line = readFileSync(`/proc/${this.pid}/net/dev`, 'utf8')
      .split('\n')
      .find((each) => each.trim().startsWith(`${name}:`));
    if (line === undefined) throw new Error(`host ${this.number} has no interface ${name}`);
    const fields = line
      .slice(line.indexOf(':') + 1)
      .trim()
      .split(/\s+/);
    return { received: Number(fields[0]), sent: Number(fields[8]) };
  }

  close(): void {
    this.#holder.kill('SIGKILL');
  }
}
