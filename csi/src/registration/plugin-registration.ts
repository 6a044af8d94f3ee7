// Makes the driver known to kubelet, without a registrar beside it: a socket in kubelet's registry folder on which kubelet asks who is there.
// Opened by bin/csi.ts once the driver's own socket answers. Kubelet looks at the folder when a socket appears and whenever it starts;
// a socket that somebody removed is made again, since without it no pod of this node gets a volume after kubelet's next start.
//
//   waiting ── GetInfo ──> asked ── NotifyRegistrationStatus(registered) ──> registered
//                            └───── NotifyRegistrationStatus(refused) ─────> onFailure(), once
import { formatErrorChain, PfError } from '@pureflash/datapath/base';
import type { Timer } from '@pureflash/datapath/world';
import { Registration } from '../messages/registration-service.ts';
import { implement, serveGrpc, type GrpcServer, type Handlers, type RpcPorts } from '../rpc/grpc-server.ts';

export interface RegistrationOptions {
  readonly driverName: string;
  /** Where kubelet finds the driver's socket: an absolute path as kubelet sees it. */
  readonly endpoint: string;
  /** "/var/lib/kubelet/plugins_registry". */
  readonly registryFolder: string;
  /** The driver cannot serve this node: the process is to end with this error, so that it is started again. Called once. */
  onFailure(error: PfError): void;
  /** Between two looks at the socket. Default: 2 s. */
  readonly lookEveryMs?: number;
}

const PLUGIN_TYPE = 'CSIPlugin';
/** Of CSI itself, as kubelet counts them; not of this driver. */
const SUPPORTED_VERSIONS = ['1.0.0'];
const LOOK_EVERY_MS = 2_000;

export class PluginRegistration implements AsyncDisposable {
  readonly socketPath: string;
  readonly #ports: RpcPorts;
  readonly #options: RegistrationOptions;
  #server: GrpcServer | null = null;
  /** Which file our socket is; another one of that name is not ours. */
  #identity: string | null = null;
  #watch: Timer | null = null;
  #isRegistered = false;
  #hasFailed = false;
  /** One look or the end at a time. */
  #work: Promise<void> = Promise.resolve();
  #isClosed = false;

  private constructor(ports: RpcPorts, options: RegistrationOptions) {
    this.#ports = ports;
    this.#options = options;
    this.socketPath = `${options.registryFolder}/${options.driverName}-reg.sock`;
  }

  /** Errors: those of serveGrpc(). */
  static async open(ports: RpcPorts, options: RegistrationOptions): Promise<PluginRegistration> {
    const registration = new PluginRegistration(ports, options);
    await registration.#serve();
    registration.#startWatch();
    return registration;
  }

  /** True once kubelet said so. */
  get isRegistered(): boolean {
    return this.#isRegistered;
  }

  /** Kubelet forgets the driver: it is told nothing else, the socket goes. Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#watch?.cancel();
    await this.#work;
    await this.#server?.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #serve(): Promise<void> {
    const services = [implement(Registration, this.#handlers())];
    this.#server = await serveGrpc(this.#ports, { socketPath: this.socketPath, services });
    this.#identity = await this.#ports.sockets.identify(this.socketPath);
  }

  #handlers(): Handlers<typeof Registration> {
    const { driverName, endpoint } = this.#options;
    return {
      getInfo: async () => ({ type: PLUGIN_TYPE, name: driverName, endpoint, supportedVersions: SUPPORTED_VERSIONS }),
      notifyRegistrationStatus: async ({ pluginRegistered, error }) => {
        if (!pluginRegistered) {
          this.#fail(new PfError('INVALID_STATE', `kubelet refuses the driver ${driverName} at ${endpoint}: ${error}`));
          return {};
        }
        if (!this.#isRegistered) this.#ports.log.info('registered with kubelet', { driver: driverName, endpoint });
        this.#isRegistered = true;
        return {};
      },
    };
  }

  #startWatch(): void {
    let isLooking = false;
    this.#watch = this.#ports.clock.every(this.#options.lookEveryMs ?? LOOK_EVERY_MS, () => {
      if (isLooking) return;
      isLooking = true;
      this.#work = this.#look().finally(() => (isLooking = false));
    });
  }

  async #look(): Promise<void> {
    const { log, sockets } = this.#ports;
    try {
      if (this.#server !== null && (await sockets.identify(this.socketPath)) === this.#identity) return;
      // Refused where another process answers. Before ours is stopped: that removes whatever has the socket's name.
      await sockets.clear(this.socketPath);
      if (this.#isClosed) return;
      log.warn('the registration socket is gone; making it again', { path: this.socketPath });
      await this.#server?.stop(0);
      this.#server = null;
      this.#isRegistered = false;
      await this.#serve();
    } catch (error) {
      const isTaken = error instanceof PfError && error.code === 'ALREADY_EXISTS';
      if (isTaken) this.#fail(new PfError('INVALID_STATE', 'another process registers this driver', { cause: error }));
      else log.error('cannot make the registration socket; trying again', { error: formatErrorChain(error) });
    }
  }

  #fail(error: PfError): void {
    if (this.#hasFailed || this.#isClosed) return;
    this.#hasFailed = true;
    this.#ports.log.error('registration with kubelet failed', { error: formatErrorChain(error) });
    this.#options.onFailure(error);
  }
}
