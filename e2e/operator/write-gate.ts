// A door between the operator and the API server that a test can watch: every write passes it, and the test decides when the operator dies,
// just before a write reaches the server or just after, before the operator hears of it. Speaks plain HTTP to the operator.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Agent, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { waitFor } from '../local/wait-for.ts';
import type { ControlPlane } from '../kube/control-plane.ts';

export interface Write {
  /** "PATCH apps/v1 statefulsets/demo-conductor"; the same write made again has the same name. */
  readonly name: string;
}

/** 'before': the write is lost; 'after': it is done, and nobody is told. Null: it passes. */
export type Verdict = 'before' | 'after' | null;

export interface WriteGateOptions {
  readonly judge: (write: Write) => Verdict;
  /** Kills the operator. */
  readonly strike: () => Promise<void>;
}

export class WriteGate {
  readonly writes: string[] = [];
  readonly #server: Server;
  readonly #agent: Agent;
  readonly #target: URL;
  readonly #options: WriteGateOptions;

  static async open(plane: ControlPlane, options: WriteGateOptions): Promise<WriteGate> {
    const gate = new WriteGate(plane, options);
    await new Promise<void>((resolve) => gate.#server.listen(0, '127.0.0.1', resolve));
    return gate;
  }

  private constructor(plane: ControlPlane, options: WriteGateOptions) {
    const { authority, certificate, key } = plane.adminClientCertificates;
    this.#options = options;
    this.#target = new URL(plane.url);
    this.#agent = new Agent({
      keepAlive: true,
      ca: authority,
      cert: certificate,
      key: key,
    });
    this.#server = createServer((incoming, outgoing) => void this.#pass(incoming, outgoing));
  }

  /** A kubeconfig, as JSON, that leads through here. */
  get kubeconfig(): string {
    const { port } = this.#server.address() as AddressInfo;
    return JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'gate', cluster: { server: `http://127.0.0.1:${port}`, 'insecure-skip-tls-verify': true } }],
      users: [{ name: 'nobody', user: {} }],
      contexts: [{ name: 'gate', context: { cluster: 'gate', user: 'nobody' } }],
      'current-context': 'gate',
    });
  }

  /** Resolves when nothing was written for five seconds. */
  async untilQuiet(patienceMs: number): Promise<void> {
    let count = -1;
    const isStill = async (): Promise<true | null> => {
      const before = count;
      count = this.writes.length;
      return count === before ? true : null;
    };
    await waitFor('the operator to come to rest', patienceMs, isStill, 5_000);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    this.#agent.destroy();
  }

  async #pass(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const name = nameOf(incoming);
    const verdict = name === null ? null : this.#options.judge({ name });
    if (name !== null) this.writes.push(name);
    if (verdict === 'before') {
      await this.#options.strike();
      outgoing.destroy();
      return;
    }
    const { host: _ours, ...headers } = incoming.headers;
    const { hostname, port } = this.#target;
    const options = { agent: this.#agent, hostname, port, method: incoming.method, path: incoming.url, headers };
    const upstream = request(options, (answer) => {
      const finish = async (): Promise<void> => {
        if (verdict === 'after') {
          answer.resume();
          await this.#options.strike();
          outgoing.destroy();
          return;
        }
        outgoing.writeHead(answer.statusCode!, answer.headers);
        outgoing.flushHeaders();
        answer.pipe(outgoing);
      };
      void finish();
    });
    upstream.on('error', () => outgoing.destroy());
    outgoing.on('close', () => upstream.destroy());
    incoming.pipe(upstream);
  }
}

/** Null: no write, or one of the Lease or of an event, which change nothing that anybody builds on. */
function nameOf({ method, url = '' }: IncomingMessage): string | null {
  if (method === undefined || method === 'GET') return null;
  const path = url.split('?')[0]!;
  if (/\/(leases|events)(\/|$)/.test(path)) return null;
  return `${method} ${path.replace(/^\/(api|apis)\//, '').replace(/namespaces\/[^/]+\//, '')}`;
}
