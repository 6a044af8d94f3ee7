// Services and names for the pods of a test cluster, on loopback alone and inside this process: a listener on each service's
// address that connects to the ready pods behind it, and a DNS server that knows services, headless services and the pods of
// StatefulSets. It stands where kube-proxy and a cluster's DNS stand; it reads pods, since kube-controller-manager refuses loopback
// addresses in EndpointSlices. TCP only. Started by suite.ts and make-kube.ts once for all nodes; needs root for port 53.
import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { Agent, get } from 'node:https';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ControlPlane } from './control-plane.ts';
import { answerDns } from './dns-answer.ts';
import { resolveName, targetsOf } from './service-routes.ts';
import type { PodObject, Routes, ServiceObject, Target } from './service-routes.ts';

const POLL_MS = 250;
const POLL_PATIENCE_MS = 5_000;
const DNS_PORT = 53;

export class ClusterNetwork {
  readonly #plane: ControlPlane;
  readonly #agent: Agent;
  readonly #dns: DatagramSocket;
  readonly #listeners = new Map<string, Server>();
  readonly #sockets = new Set<Socket>();
  readonly #stopping = new AbortController();
  #polling: Promise<void> = Promise.resolve();
  #routes: Routes = { services: [], pods: [] };
  #turn = 0;

  private constructor(plane: ControlPlane) {
    this.#plane = plane;
    const { authority, certificate, key } = plane.adminClientCertificates;
    this.#agent = new Agent({ keepAlive: true, maxSockets: 2, ca: authority, cert: certificate, key });
    this.#dns = createSocket('udp4');
  }

  /** Ends with its control plane. */
  static async start(plane: ControlPlane): Promise<ClusterNetwork> {
    const network = new ClusterNetwork(plane);
    plane.beforeStop(() => network.#stop());
    network.#dns.on('message', (question, from) => {
      const answer = answerDns(question, (name) => resolveName(network.#routes, name));
      if (answer !== null) network.#dns.send(answer, from.port, from.address);
    });
    await new Promise<void>((resolve, reject) => {
      network.#dns.once('error', reject);
      network.#dns.bind(DNS_PORT, plane.dnsAddress, resolve);
    });
    network.#polling = network.#poll();
    return network;
  }

  async #stop(): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    this.#stopping.abort();
    await this.#polling;
    this.#agent.destroy();
    for (const server of this.#listeners.values()) server.close();
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#dns.close(resolve));
  }

  async #poll(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        const [services, pods] = await Promise.all([this.#list('services'), this.#list('pods')]);
        this.#routes = { services: services as ServiceObject[], pods: pods as PodObject[] };
        this.#listen();
      } catch {
        // The API server is away: what was known last goes on serving, as with kube-proxy.
      }
      await sleep(POLL_MS, undefined, { signal }).catch(() => undefined); // aborted: the loop's head sees it
    }
  }

  /** Opens what is new and closes what is gone. */
  #listen(): void {
    const wanted = new Map<string, { service: ServiceObject; port: number }>();
    for (const service of this.#routes.services) {
      const address = service.spec.clusterIP ?? 'None';
      if (address === 'None' || address === '' || service.spec.selector === undefined) continue;
      for (const { port, protocol } of service.spec.ports ?? []) {
        if ((protocol ?? 'TCP') === 'TCP') wanted.set(`${address}:${port}`, { service, port });
      }
    }
    for (const [key, server] of this.#listeners) {
      if (wanted.has(key)) continue;
      server.close();
      this.#listeners.delete(key);
    }
    for (const [key, { service, port }] of wanted) {
      if (this.#listeners.has(key)) continue;
      const { namespace, name } = service.metadata;
      const server = createServer((socket) => this.#forward(socket, targetsOf(this.#routes, namespace, name, port)));
      server.on('error', (error) => process.stderr.write(`service ${namespace}/${name}: ${error.message}\n`));
      server.listen(port, service.spec.clusterIP);
      this.#listeners.set(key, server);
    }
  }

  /** Without a ready pod the connection is reset, as a refusal. */
  #forward(client: Socket, targets: readonly Target[]): void {
    const target = targets[this.#turn++ % Math.max(1, targets.length)];
    if (target === undefined) {
      client.resetAndDestroy();
      return;
    }
    const pod = connect({ host: target.address, port: target.port, noDelay: true });
    client.setNoDelay(true);
    for (const [one, other] of [
      [client, pod],
      [pod, client],
    ] as const) {
      this.#sockets.add(one);
      one.pipe(other);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        other.destroy();
        this.#sockets.delete(one);
      });
    }
  }

  #list(resource: 'services' | 'pods'): Promise<unknown[]> {
    return new Promise((resolve, reject) => {
      const request = get(`${this.#plane.url}/api/v1/${resource}`, { agent: this.#agent }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => (text += part));
        response.on('error', reject).on('end', () => {
          if (response.statusCode === 200) resolve((JSON.parse(text) as { items: unknown[] }).items);
          else reject(new Error(`the API server answers ${response.statusCode} when asked for ${resource}`));
        });
      });
      request.setTimeout(POLL_PATIENCE_MS, () => request.destroy(new Error('no answer')));
      request.on('error', reject);
    });
  }
}
