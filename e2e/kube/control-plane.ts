// A real Kubernetes control plane as child processes of this one: etcd, kube-apiserver and, where a test needs garbage
// collection, StatefulSets or placement, kube-controller-manager and kube-scheduler. Used by the suites that speak to a real
// API server, and by `make kube`.
// Keeps: every address is on a loopback subnet of its own, so control planes do not meet; `stop` leaves no process and no file,
// also after a start that failed, and the kernel ends the programs with this process. The service addresses lie in the same
// subnet and the API server listens on the first of them, so clients inside pods on the machine's network reach it.
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Daemon } from '../local/daemon.ts';
import { waitFor } from '../local/wait-for.ts';
import { programPath } from './binaries.ts';
import type { Program } from './binaries.ts';
import { Pki, writeKubeconfig } from './pki.ts';
import type { Certificate } from './pki.ts';
import { RigPlace } from './rig-place.ts';
import { answers, rigProcess, waitUntilReady } from './rig-process.ts';

const run = promisify(execFile);
const READY_PATIENCE_MS = 60_000;
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;
const [ETCD_PORT, ETCD_PEER_PORT, CONTROLLER_PORT, SCHEDULER_PORT] = [12_379, 12_380, 10_257, 10_259];
/** Clients inside pods expect the API server at port 443 of its service address; who is not root has no pods. */
const API_PORT = process.getuid?.() === 0 ? 443 : 6443;

export interface ControlPlaneOptions {
  /** Garbage collection, Deployments, StatefulSets, namespaces' ends, service accounts. */
  readonly withControllerManager?: boolean;
  readonly withScheduler?: boolean;
  /** More flags for kube-apiserver. */
  readonly apiServerFlags?: readonly string[];
}

export class ControlPlane {
  readonly place: RigPlace;
  readonly pki: Pki;
  /** "https://127.N.0.1:443". */
  readonly url: string;
  readonly kubeconfigPath: string;
  /** PEM texts of a client in group system:masters. */
  readonly adminClientCertificates: { readonly authority: string; readonly certificate: string; readonly key: string };
  readonly #apiServer: Daemon;
  readonly #daemons: readonly Daemon[];
  readonly #guests: (() => Promise<void>)[] = [];

  private constructor(place: RigPlace, pki: Pki, options: ControlPlaneOptions, people: Readonly<Record<string, Certificate>>) {
    this.place = place;
    this.pki = pki;
    this.url = `https://${this.address}:${API_PORT}`;
    this.kubeconfigPath = join(place.folder, 'kubeconfig');
    this.adminClientCertificates = {
      authority: readFileSync(pki.authority.certificatePath, 'utf8'),
      certificate: readFileSync(people['admin']!.certificatePath, 'utf8'),
      key: readFileSync(people['admin']!.keyPath, 'utf8'),
    };
    writeKubeconfig(this.kubeconfigPath, this.url, pki.authority, people['admin']!);
    this.#apiServer = this.#program('kube-apiserver', this.#apiServerFlags(people['api']!, options.apiServerFlags ?? []));
    const daemons = [this.#program('etcd', this.#etcdFlags()), this.#apiServer];
    if (options.withControllerManager === true) daemons.push(this.#client('kube-controller-manager', people['controllers']!));
    if (options.withScheduler === true) daemons.push(this.#client('kube-scheduler', people['scheduler']!));
    this.#daemons = daemons;
  }

  static async start(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
    programPath('kube-apiserver'); // Says at once what is missing.
    const place = await RigPlace.take();
    let plane: ControlPlane | null = null;
    try {
      plane = await ControlPlane.#prepare(place, options);
      await plane.#start();
      return plane;
    } catch (error) {
      await (plane === null ? place.giveBack() : plane.stop());
      throw error;
    }
  }

  /** The one address of all its programs, "127.N.0.1". */
  get address(): string {
    return `${this.place.subnet}.0.1`;
  }

  /** Where the cluster's names are resolved once a ClusterNetwork runs, "127.N.0.10". */
  get dnsAddress(): string {
    return `${this.place.subnet}.0.10`;
  }

  /** Name and process id of each program that runs. */
  get pids(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#daemons.filter((daemon) => daemon.isRunning).map((daemon) => [daemon.name, daemon.pid]));
  }

  /** Runs kubectl as administrator and returns what it printed. */
  async kubectl(...args: string[]): Promise<string> {
    return this.#kubectl(args, '');
  }

  /** Server-side apply of objects, or of a manifest's text. */
  async apply(manifest: string | readonly object[]): Promise<string> {
    const items = typeof manifest === 'string' ? manifest : JSON.stringify({ apiVersion: 'v1', kind: 'List', items: manifest });
    return this.#kubectl(['apply', '--server-side', '-f', '-'], items);
  }

  /** The object ("deployment/x", with -n where it needs one), or null when there is none. */
  async find(...args: string[]): Promise<unknown> {
    const text = await this.kubectl('get', '--ignore-not-found', '-o', 'json', ...args);
    return text.trim() === '' ? null : (JSON.parse(text) as unknown);
  }

  /** Runs helm as administrator and returns what it printed. */
  async helm(...args: string[]): Promise<string> {
    const home = join(this.place.folder, 'helm');
    const env = { PATH: process.env['PATH'], HOME: home, KUBECONFIG: this.kubeconfigPath };
    return (await run(programPath('helm'), args, { env, maxBuffer: OUTPUT_BYTES_MAX })).stdout;
  }

  /** kill -9, as a crash; every other program stays. */
  async stopApiServer(): Promise<void> {
    await this.#apiServer.kill();
  }

  /** Starts it again on the same address; resolves when it is ready. */
  async startApiServer(): Promise<void> {
    this.#apiServer.start();
    await this.#apiServerReady();
  }

  /** The last lines that a program said. */
  logTail(program: string, lines = 15): string {
    const daemon = this.#daemons.find(({ name }) => name === program);
    return daemon === undefined ? '' : daemon.logTail(lines);
  }

  /** `end` runs first when the control plane stops, the youngest first; it may be called although its work is done already. */
  beforeStop(end: () => Promise<void>): void {
    this.#guests.push(end);
  }

  /** Ends every program, clients first, and removes the files. The state goes with it, so nothing needs time to say goodbye. */
  async stop(): Promise<void> {
    for (const end of this.#guests.splice(0).toReversed()) await end();
    for (const daemon of this.#daemons.toReversed()) await daemon.kill();
    await this.place.giveBack();
  }

  static async #prepare(place: RigPlace, options: ControlPlaneOptions): Promise<ControlPlane> {
    const folder = join(place.folder, 'pki');
    mkdirSync(folder);
    const pki = await Pki.create(folder);
    const names = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc', 'localhost'].map((name) => `DNS:${name}`);
    const [api, admin, controllers, scheduler] = await Promise.all([
      pki.issue('api', '/CN=kube-apiserver', [`IP:${place.subnet}.0.1`, 'IP:127.0.0.1', ...names]),
      pki.issue('admin', '/O=system:masters/CN=admin'),
      // As its own user it may not write Deployments' status without --use-service-account-credentials, which costs five seconds.
      pki.issue('controllers', '/O=system:masters/CN=system:kube-controller-manager'),
      pki.issue('scheduler', '/CN=system:kube-scheduler'),
    ]);
    return new ControlPlane(place, pki, options, { api, admin, controllers, scheduler });
  }

  async #start(): Promise<void> {
    const [etcd, apiServer, ...clients] = this.#daemons;
    etcd!.start();
    apiServer!.start(); // It waits for etcd by itself.
    await waitUntilReady(etcd!, READY_PATIENCE_MS, () => answers(`http://${this.address}:${ETCD_PORT}/health`, null));
    await this.#apiServerReady();
    for (const client of clients) client.start();
    for (const client of clients) {
      const port = client.name === 'kube-scheduler' ? SCHEDULER_PORT : CONTROLLER_PORT;
      await waitUntilReady(client, READY_PATIENCE_MS, () => answers(`https://${this.address}:${port}/healthz`, null));
    }
    const isControlled = clients.some((client) => client.name === 'kube-controller-manager');
    const last = isControlled ? 'serviceaccount/default' : 'namespace/default';
    await waitFor(`${last} to be made`, READY_PATIENCE_MS, () => this.find(last, '-n', 'default'));
  }

  async #apiServerReady(): Promise<void> {
    const { authority } = this.adminClientCertificates;
    await waitUntilReady(this.#apiServer, READY_PATIENCE_MS, () => answers(`${this.url}/readyz`, authority));
  }

  async #kubectl(args: readonly string[], input: string): Promise<string> {
    const words = ['--kubeconfig', this.kubeconfigPath, ...args];
    const running = run(programPath('kubectl'), words, { maxBuffer: OUTPUT_BYTES_MAX });
    running.child.stdin?.on('error', () => undefined); // It left without reading: its exit status says why.
    running.child.stdin?.end(input);
    return (await running).stdout;
  }

  #program(program: Program, flags: Readonly<Record<string, string>>): Daemon {
    const words = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
    return rigProcess(program, this.place.folder, [programPath(program), ...words]);
  }

  #etcdFlags(): Record<string, string> {
    const [client, peer] = [ETCD_PORT, ETCD_PEER_PORT].map((port) => `http://${this.address}:${port}`);
    return {
      name: 'etcd',
      'data-dir': join(this.place.folder, 'etcd'),
      'listen-client-urls': client!,
      'advertise-client-urls': client!,
      'listen-peer-urls': peer!,
      'initial-advertise-peer-urls': peer!,
      'initial-cluster': `etcd=${peer}`,
      'unsafe-no-fsync': 'true',
      // Alone it elects itself: the shorter the time-outs, the sooner.
      'heartbeat-interval': '20',
      'election-timeout': '100',
      'log-level': 'warn',
    };
  }

  #apiServerFlags(serving: Certificate, more: readonly string[]): Record<string, string> {
    const { authority, tokenKeyPath, tokenPublicKeyPath } = this.pki;
    const extra = more.map((flag) => /^--([^=]+)=(.*)$/s.exec(flag) ?? ['', flag.replace(/^--/, ''), 'true']);
    return {
      'etcd-servers': `http://${this.address}:${ETCD_PORT}`,
      'bind-address': this.address,
      'advertise-address': this.address,
      'secure-port': String(API_PORT),
      'cert-dir': this.pki.folder,
      'tls-cert-file': serving.certificatePath,
      'tls-private-key-file': serving.keyPath,
      'client-ca-file': authority.certificatePath,
      'authorization-mode': 'Node,RBAC',
      // Apart from the addresses of nodes and pods; the first sixteen are not given out by chance.
      'service-cluster-ip-range': `${this.place.subnet}.0.0/24`,
      'service-account-issuer': 'https://kubernetes.default.svc',
      'service-account-key-file': tokenPublicKeyPath,
      'service-account-signing-key-file': tokenKeyPath,
      'allow-privileged': 'true',
      'endpoint-reconciler-type': 'none',
      // Without these the controllers complain in their logs all the time.
      'requestheader-client-ca-file': authority.certificatePath,
      'requestheader-allowed-names': 'front-proxy',
      'requestheader-username-headers': 'X-Remote-User',
      'requestheader-group-headers': 'X-Remote-Group',
      'requestheader-extra-headers-prefix': 'X-Remote-Extra-',
      ...Object.fromEntries(extra.map((parts) => [parts[1]!, parts[2]!])),
    };
  }

  #client(program: 'kube-controller-manager' | 'kube-scheduler', user: Certificate): Daemon {
    const kubeconfig = join(this.place.folder, `${program}.kubeconfig`);
    writeKubeconfig(kubeconfig, this.url, this.pki.authority, user);
    const flags = {
      kubeconfig,
      'authentication-kubeconfig': kubeconfig,
      'authorization-kubeconfig': kubeconfig,
      'leader-elect': 'false',
      'bind-address': this.address,
      'cert-dir': this.pki.folder,
    };
    if (program === 'kube-scheduler') return this.#program(program, { ...flags, 'secure-port': String(SCHEDULER_PORT) });
    return this.#program(program, {
      ...flags,
      'secure-port': String(CONTROLLER_PORT),
      'service-account-private-key-file': this.pki.tokenKeyPath,
      'root-ca-file': this.pki.authority.certificatePath,
    });
  }
}
