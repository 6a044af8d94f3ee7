// pfnbd: the datapath of one node. Keeps volumes mapped as kernel block devices until SIGINT or SIGTERM, and leaves the devices to the
// next pfnbd: whoever uses them waits for it, and notices nothing else.
import { announceNode } from '../attach/announce.ts';
import { AttachService } from '../attach/attach-service.ts';
import { FuseMapper } from '../attach/fuse/fuse-mapper.ts';
import type { Mapper } from '../attach/mapper.ts';
import { PFNBD } from '../attach/model.ts';
import { NbdMapper } from '../attach/nbd/nbd-mapper.ts';
import { UblkMapper } from '../attach/ublk/ublk-mapper.ts';
import { ConductorClient } from '../api/conductor-client.ts';
import { PUREFLASH_VERSION } from '../base/version.ts';
import { conductorAddresses } from '../cli/conductor-flag.ts';
import { PFNBD_COMMAND } from '../cli/pfnbd-command.ts';
import { tokenFileOf } from '../cli/token-flag.ts';
import { ControlServer } from '../daemon/control-server.ts';
import { openVolume } from '../volume/volume-device.ts';
import type { World } from '../world/world.ts';
import { openApiWorld } from './open-api-world.ts';
import { runDaemon } from './run-daemon.ts';

/** Calls of the CSI plugin: one for each volume that is staged at the same time, and then some. */
const CLIENTS_MAX = 512;
/** For requests that are out when it is told to end; what is not answered by then the next pfnbd gets again. */
const HAND_OVER_MS = 1_500;
/** After this time it ends in any case: it is made to be killed. */
const END_MS = 3_000;

await runDaemon(PFNBD_COMMAND, async ({ flags }, log) => {
  const { node, connections, busyPollUs, socket: socketPath } = flags;
  const conductors = conductorAddresses(flags.conductor, process.env);
  const world = await openApiWorld(tokenFileOf(flags.tokenFile, process.env), { busyPollUs, log });
  for (const lack of world.kernel?.guardMemory() ?? []) log.warn(`under memory pressure this process is less safe: ${lack}`);
  const ending = new AbortController();
  const client = new ConductorClient(world, conductors);
  const service = await AttachService.start(world, {
    stateFolder: flags.state,
    instance: world.sha256(new TextEncoder().encode(flags.run)).slice(0, 8),
    mappers: await openMappers(world, flags.run),
    wanted: flags.mapper,
    openVolume: ({ volume_name: name, attachment, read_only: isReadOnly }, signal) =>
      openVolume(world, { name, attachment, client: node, isReadOnly, conductors, connections, signal }),
    getVolumes: (names, options) => client.getVolumes(names, options),
  });
  await world.files.makeFolder(socketPath.slice(0, socketPath.lastIndexOf('/')), { isPrivate: true });
  const server = await ControlServer.open(world, {
    socketPath,
    name: PFNBD,
    pid: process.pid,
    handlers: service.handlers,
    clientsMax: CLIENTS_MAX,
  });
  void announceNode(world, client, { name: node, version: PUREFLASH_VERSION }, ending.signal);
  return {
    world,
    title: `node ${node} attaches volumes at ${socketPath}`,
    dump: () => ({ node, volumes: service.list().map((each) => ({ ...each })) }),
    endMs: END_MS,
    close: async () => {
      ending.abort();
      await server.close();
      await service.handOver();
    },
  };
});

/** New devices come from the kernel's own NBD client where there is one, else from its ublk, else from FUSE with a loop device. */
async function openMappers(world: World, runFolder: string): Promise<Mapper[]> {
  const mappers: Mapper[] = [];
  if (world.kernel !== undefined)
    mappers.push(await NbdMapper.open(world, { folder: `${runFolder}/nbd`, handOverTimeoutMs: HAND_OVER_MS }));
  mappers.push(await UblkMapper.open(world, { folder: `${runFolder}/ublk`, drainMs: HAND_OVER_MS }));
  mappers.push(new FuseMapper(world, { folder: `${runFolder}/fuse`, drainMs: HAND_OVER_MS }));
  return mappers;
}
