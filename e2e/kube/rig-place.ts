// What one test cluster has for itself on a shared machine: a folder under the temporary folder, a loopback subnet
// 127.N.0.0/16, and a name for its cgroups. All three are tied to this process: a held port keeps the subnet from others and
// falls free with the process; folders and cgroups of processes that died without cleaning up are removed by the next
// cluster. Called by control-plane.ts.
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { removeCgroups, cgroupNames } from './cgroups.ts';
import { isAlive } from './rig-process.ts';

const PREFIX = 'pureflash-kube-';
/** LocalCluster's tests have 127.64 to 127.191. */
const SUBNET_FIRST = 192;
const SUBNET_COUNT = 60;
/** Nothing of a cluster listens there: whoever holds it holds the subnet. */
const HOLD_PORT = 4;
const HOLD_PORT_UNPRIVILEGED = 40_004;

let placesOfThisProcess = 0;

export class RigPlace {
  readonly folder: string;
  /** "pureflash-kube-PID-N": the cgroups' root, and the folder's name. */
  readonly name: string;
  /** "127.N". */
  readonly subnet: string;
  readonly #hold: Server;

  private constructor(name: string, subnet: string, hold: Server) {
    this.name = name;
    this.subnet = subnet;
    this.#hold = hold;
    this.folder = join(tmpdir(), name);
  }

  static async take(): Promise<RigPlace> {
    await removeLeftovers();
    const { subnet, hold } = await holdSubnet();
    const place = new RigPlace(`${PREFIX}${process.pid}-${++placesOfThisProcess}`, subnet, hold);
    mkdirSync(place.folder, { mode: 0o755 });
    return place;
  }

  /** Removes everything; the processes that used it have ended. */
  async giveBack(): Promise<void> {
    await removeCgroups(this.name);
    rmSync(this.folder, { recursive: true, force: true });
    await new Promise((resolve) => this.#hold.close(resolve));
  }
}

async function holdSubnet(): Promise<{ subnet: string; hold: Server }> {
  const port = process.getuid?.() === 0 ? HOLD_PORT : HOLD_PORT_UNPRIVILEGED;
  for (let i = 0; i < SUBNET_COUNT; i++) {
    const subnet = `127.${SUBNET_FIRST + ((process.pid + i) % SUBNET_COUNT)}`;
    const hold = await listen(`${subnet}.0.1`, port);
    if (hold !== null) return { subnet, hold };
  }
  throw new Error(`cannot start a test cluster: all ${SUBNET_COUNT} loopback subnets are taken; end the clusters that run`);
}

function listen(host: string, port: number): Promise<Server | null> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', (error: NodeJS.ErrnoException) => (error.code === 'EADDRINUSE' ? resolve(null) : reject(error)));
    server.listen({ host, port }, () => {
      server.unref();
      resolve(server);
    });
  });
}

async function removeLeftovers(): Promise<void> {
  for (const name of readdirSync(tmpdir())) {
    if (isOrphan(name)) rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
  for (const name of cgroupNames()) {
    if (!isOrphan(name)) continue;
    // A process that hangs in the kernel keeps its cgroup; that is no reason for this cluster not to start.
    await removeCgroups(name).catch((error: Error) =>
      process.stderr.write(`cannot remove what is left of ${name}: ${error.message}\n`),
    );
  }
}

function isOrphan(name: string): boolean {
  const pid = new RegExp(`^${PREFIX}(\\d+)-\\d+$`).exec(name)?.[1];
  return pid !== undefined && !isAlive(Number(pid));
}
