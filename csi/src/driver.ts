// A driver process put together: which services it has, over what. Called by bin/csi.ts and by tests that run a driver in their own process.
//
//   controller: Identity, Controller            asks a conductor
//   node:       Identity, Node, registration    asks this node's pfnbd and its kernel
//   all:        everything behind one socket    for one machine, and for tools that want both
import { ConductorClient } from '@pureflash/datapath/api';
import { AttachClient } from '@pureflash/datapath/attach';
import { PfError, PUREFLASH_VERSION } from '@pureflash/datapath/base';
import type { World } from '@pureflash/datapath/world';
import { controllerHandlers } from './controller.ts';
import { DRIVER_NAME, identityHandlers } from './identity.ts';
import { Controller } from './messages/controller-service.ts';
import { Identity } from './messages/identity-service.ts';
import { Node } from './messages/node-service.ts';
import { openNodeHandlers } from './node.ts';
import type { Host } from './node/host.ts';
import { PluginRegistration } from './registration/plugin-registration.ts';
import { implement, serveGrpc, type Call, type Implementation } from './rpc/grpc-server.ts';
import type { SocketFiles } from './rpc/socket-files.ts';
import { ConductorVolumes } from './volumes/conductor-volumes.ts';
import { SEGMENTS } from './volumes/topology.ts';

export interface ControllerSettings {
  readonly conductors: readonly string[];
  readonly clusterName: string;
  /** For classes that say nothing. */
  readonly replicaCount: number;
}

export interface NodeSettings {
  readonly nodeId: string;
  readonly pfnbdSocket: string;
  readonly stateFolder: string;
  readonly kubeletFolders: readonly string[];
  /** 0: no limit is claimed. */
  readonly maxVolumes: number;
  /** Kubelet's registry folder, and where kubelet sees the driver's socket; null: nobody is to be told. */
  readonly registration: { readonly folder: string; readonly endpoint: string } | null;
}

export interface DriverSettings {
  readonly socketPath: string;
  readonly controller: ControllerSettings | null;
  readonly node: NodeSettings | null;
}

export interface DriverPorts {
  readonly world: World;
  readonly host: Host;
  readonly sockets: SocketFiles;
}

export interface Driver {
  /** It cannot serve this node; the process is to end with this. */
  readonly failed: Promise<PfError>;
  stop(): Promise<void>;
}

/** Errors: those of serveGrpc(), and INVALID_ARGUMENT for settings that cannot be. */
export async function startDriver(ports: DriverPorts, settings: DriverSettings): Promise<Driver> {
  const { world, sockets } = ports;
  const services: Implementation[] = [];
  const checks: ((call: Call) => Promise<unknown>)[] = [];
  if (settings.controller !== null) addController(world, settings.controller, services, checks);
  if (settings.node !== null) await addNode(ports, settings.node, services, checks);
  const isReady = async (call: Call): Promise<boolean> => {
    for (const check of checks) await check(call);
    return true;
  };
  services.push(implement(Identity, identityHandlers({ version: PUREFLASH_VERSION, isReady })));
  const rpc = { clock: world.clock, log: world.log, sockets };
  const server = await serveGrpc(rpc, { socketPath: settings.socketPath, services });
  const failure = Promise.withResolvers<PfError>();
  const place = settings.node?.registration ?? null;
  const registration =
    place === null
      ? null
      : await PluginRegistration.open(rpc, {
          driverName: DRIVER_NAME,
          endpoint: place.endpoint,
          registryFolder: place.folder,
          onFailure: failure.resolve,
        });
  return {
    failed: failure.promise,
    async stop() {
      await registration?.close();
      await server.stop();
    },
  };
}

function addController(
  world: World,
  { conductors, clusterName, replicaCount }: ControllerSettings,
  services: Implementation[],
  checks: ((call: Call) => Promise<unknown>)[],
): void {
  const volumes = new ConductorVolumes(new ConductorClient(world, conductors), world.clock);
  const sha256 = (bytes: Uint8Array): string => world.sha256(bytes);
  services.push(implement(Controller, controllerHandlers({ volumes, sha256, defaults: { clusterName, replicaCount } })));
  checks.push((call) => volumes.check(call));
}

async function addNode(
  { world, host }: DriverPorts,
  settings: NodeSettings,
  services: Implementation[],
  checks: ((call: Call) => Promise<unknown>)[],
): Promise<void> {
  const attacher = new AttachClient(world, settings.pfnbdSocket);
  const handlers = await openNodeHandlers({
    host,
    attacher,
    files: world.files,
    log: world.log,
    nodeId: settings.nodeId,
    stateFolder: settings.stateFolder,
    kubeletDirs: settings.kubeletFolders,
    maxVolumes: settings.maxVolumes,
    topology: SEGMENTS,
  });
  services.push(implement(Node, handlers));
  checks.push(() =>
    attacher.list().catch((error: unknown) => {
      throw new PfError('UNAVAILABLE', `pfnbd does not answer at ${settings.pfnbdSocket}; start it on this node`, {
        cause: error,
      });
    }),
  );
}
