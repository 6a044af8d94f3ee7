// Streams between simulated machines: the Network port of each process, and the one network they share.
// Knobs for tests hang on `sim.network`: partitions, stalls, resets, chances of faults; links.ts has the delays.
import { assert } from '../base/assert.ts';
import { PfError } from '../base/errors.ts';
import { formatAddress } from '../world/network.ts';
import type { Address, Listener, Network, Stream } from '../world/network.ts';
import type { SimEvent } from './event-queue.ts';
import type { StreamEndpoint } from './host-ports.ts';
import { Links } from './links.ts';
import type { SeededRandom } from './seeded-random.ts';
import type { SimHost } from './sim-host.ts';
import type { CrashOptions, ProcessResource, SimProcess } from './sim-process.ts';
import { SimStream } from './sim-stream.ts';
import type { Simulator } from './simulator.ts';

export interface NetworkFaults {
  /** Of a connection, for each segment that is sent. */
  resetChance: number;
  connectFailChance: number;
  /** An HTTP request that never arrives; the caller sees a broken connection. */
  requestLostChance: number;
  /** An HTTP request that is executed although its answer never arrives. */
  answerLostChance: number;
  /** Of delivering a received run of bytes in a random piece first. */
  chunkChance: number;
}

export class SimNetwork {
  readonly links: Links;
  readonly random: SeededRandom;
  readonly faults: NetworkFaults = {
    resetChance: 0,
    connectFailChance: 0,
    requestLostChance: 0,
    answerLostChance: 0,
    chunkChance: 0.15,
  };
  /** Silence longer than this ends a connection that has bytes under way, as TCP's user timeout does. */
  giveUpMs = 30_000;
  readonly streams = new Set<SimStream>();
  readonly sim: Simulator;

  constructor(sim: Simulator) {
    this.sim = sim;
    this.random = sim.random.fork('network');
    this.links = new Links(sim);
  }

  /** Silence in both directions between every machine of `left` and every one of `right`. */
  partition(left: readonly SimHost[], right: readonly SimHost[]): void {
    for (const a of left) {
      for (const b of right) {
        this.links.block(a, b);
        this.links.block(b, a);
      }
    }
  }

  partitionOneWay(from: SimHost, to: SimHost): void {
    this.links.block(from, to);
  }

  heal(a: SimHost, b: SimHost): void {
    this.links.unblock(a, b);
    this.links.unblock(b, a);
  }

  healAll(): void {
    this.links.unblockAll();
  }

  reachabilityChanged(): void {
    this.links.release();
  }

  /** Breaks every connection between two machines; both ends see CONNECTION_LOST. Returns how many. */
  resetConnections(a: SimHost, b: SimHost): number {
    let count = 0;
    for (const stream of [...this.streams]) {
      if (stream.process.host !== a || stream.remoteHost !== b) continue;
      stream.breakBothEnds('connection reset by the network');
      count += 1;
    }
    return count;
  }

  hostAt(name: string, from: SimHost): SimHost | null {
    if (name === '127.0.0.1' || name === 'localhost' || name === '::1' || name === '0.0.0.0') return from;
    for (const host of this.sim.hosts.values()) if (host.address === name || host.name === name) return host;
    return null;
  }
}

export class SimProcessNetwork implements Network {
  readonly #process: SimProcess;

  constructor(process: SimProcess) {
    this.#process = process;
  }

  listen(address: Address, onStream: (stream: Stream) => void): Promise<Listener> {
    return this.#process.later(0.01, 'listen', () => {
      this.#process.checkOpen(`listen on ${formatAddress(address)}`);
      return new SimListener(this.#process, address, onStream);
    });
  }

  connect(address: Address, timeoutMs: number): Promise<Stream> {
    const process = this.#process;
    return new Promise((resolve, reject) => {
      const attempt = new Connecting(process, address, timeoutMs, resolve, reject);
      process.post(0, 'connect', () => attempt.begin());
    });
  }
}

class SimListener implements Listener, ProcessResource {
  readonly address: Address;
  readonly #process: SimProcess;
  #isOpen = true;

  constructor(process: SimProcess, address: Address, onStream: (stream: Stream) => void) {
    this.#process = process;
    const ports = process.host.ports;
    const boundHost = address.kind === 'tcp' ? address.host : '';
    const endpoint: StreamEndpoint = { kind: 'stream', process, boundHost, onStream };
    if (address.kind === 'tcp') {
      this.address = { kind: 'tcp', host: address.host, port: ports.bind(address.port, endpoint) };
    } else {
      ports.bindPath(address.path, endpoint);
      this.address = address;
    }
    process.resources.add(this);
  }

  close(): Promise<void> {
    this.#release(false);
    return this.#process.later(0, 'listener-close', () => undefined);
  }

  describe(): string {
    return `listener on ${formatAddress(this.address)}`;
  }

  closeResource(): void {
    this.#release(false);
  }

  processDied(_options: CrashOptions): void {
    this.#release(true);
  }

  #release(leavesFile: boolean): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#process.resources.delete(this);
    const ports = this.#process.host.ports;
    if (this.address.kind === 'tcp') ports.unbind(this.address.port);
    else ports.unbindPath(this.address.path, leavesFile);
  }
}

/** One connect(): asks, asks again while there is silence, until an answer or the deadline. */
class Connecting {
  readonly #process: SimProcess;
  readonly #address: Address;
  readonly #timeoutMs: number;
  readonly #resolve: (stream: Stream) => void;
  readonly #reject: (error: PfError) => void;
  #retryMs = 50;
  #isSettled = false;
  #deadline: SimEvent | null = null;
  #accepted: SimStream | null = null;

  constructor(
    process: SimProcess,
    address: Address,
    timeoutMs: number,
    resolve: (stream: Stream) => void,
    reject: (error: PfError) => void,
  ) {
    this.#process = process;
    this.#address = address;
    this.#timeoutMs = timeoutMs;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  begin(): void {
    const process = this.#process;
    if (process.isClosed) {
      this.#fail('INVALID_STATE', `the world of ${process.name} is closed`);
      return;
    }
    this.#deadline = process.post(this.#timeoutMs, 'connect-timeout', () =>
      this.#fail('TIMEOUT', `no answer within ${this.#timeoutMs} ms`),
    );
    const network = process.sim.network;
    if (this.#address.kind === 'unix') {
      const endpoint = process.host.ports.atPath(this.#address.path);
      if (endpoint === undefined) this.#fail('NOT_FOUND', 'there is no such socket; is the server running?');
      else if (endpoint === null) this.#fail('CONNECTION_LOST', 'connection refused: nobody serves this socket');
      else this.#accept(endpoint, process.host);
      return;
    }
    const target = network.hostAt(this.#address.host, process.host);
    if (target === null) this.#fail('CONNECTION_LOST', 'no such host');
    else if (network.random.chance(network.faults.connectFailChance))
      this.#fail('CONNECTION_LOST', 'connection reset while connecting');
    else this.#knock(target);
  }

  #knock(target: SimHost): void {
    const { sim, host } = this.#process;
    sim.post(null, sim.network.links.delay(host, target, 64), 'syn', () => this.#arrive(target), false);
  }

  #arrive(target: SimHost): void {
    if (this.#isSettled || !this.#process.isAlive || this.#address.kind !== 'tcp') return;
    const { sim, host } = this.#process;
    const { links } = sim.network;
    if (!links.isOpen(host, target) || !links.isOpen(target, host)) {
      sim.post(null, this.#retryMs, 'syn-again', () => this.#arrive(target), false);
      this.#retryMs = Math.min(this.#retryMs * 1.5, 1000);
      return;
    }
    const endpoint = target.ports.at(this.#address.port, target !== host);
    if (endpoint === null || endpoint.kind !== 'stream') {
      this.#process.post(links.delay(target, host, 64), 'refused', () =>
        this.#fail('CONNECTION_LOST', 'connection refused: nobody listens there'),
      );
      return;
    }
    this.#accept(endpoint, target);
  }

  #accept(endpoint: StreamEndpoint, target: SimHost): void {
    const client = this.#process;
    const server = endpoint.process;
    const isUnix = this.#address.kind === 'unix';
    const near = new SimStream(client, target, formatAddress(this.#address));
    const far = new SimStream(
      server,
      client.host,
      isUnix ? `unix:${client.name}` : `${client.host.address}:${client.host.ports.ephemeralPort()}`,
    );
    SimStream.join(near, far);
    this.#accepted = near;
    server.post(0, 'accept', () => {
      if (far.isOver || server.isClosed) {
        far.destroy();
        return;
      }
      endpoint.onStream(far);
      assert(far.handler !== null, 'a listener must set the handler of a stream before it returns');
    });
    client.post(client.sim.network.links.delay(target, client.host, 64), 'connected', () => {
      if (client.isClosed) this.#fail('INVALID_STATE', `the world of ${client.name} is closed`);
      if (this.#isSettled) return;
      this.#settle();
      this.#resolve(near);
    });
  }

  #fail(code: 'CONNECTION_LOST' | 'TIMEOUT' | 'NOT_FOUND' | 'INVALID_STATE', why: string): void {
    if (this.#isSettled) return;
    this.#settle();
    this.#accepted?.abandon();
    this.#reject(new PfError(code, `cannot connect to ${formatAddress(this.#address)}: ${why}`));
  }

  #settle(): void {
    this.#isSettled = true;
    this.#deadline?.cancel();
  }
}
