// pfconductor: the cluster's decisions. Serves the control plane and the status page until SIGINT or SIGTERM.
import { CONDUCTOR_COMMAND } from '../cli/conductor-command.ts';
import { startConductor } from '../conductor/conductor.ts';
import { openApiWorld } from './open-api-world.ts';
import { runDaemon } from './run-daemon.ts';

/** The conductor uses HTTP and files only: no ring, and hardly any I/O memory. */
const MEMORY_BYTES = 8 * 1024 * 1024;

await runDaemon(CONDUCTOR_COMMAND, async ({ flags }, log) => {
  const { data, listen, cluster, allowSameHost } = flags;
  const world = await openApiWorld(flags.tokenFile, { ports: 'libuv', memoryBytes: MEMORY_BYTES, log });
  const conductor = await startConductor(world, {
    dataFolder: data,
    host: listen.host,
    port: listen.port,
    clusterName: cluster,
    allowSameHost: allowSameHost === true,
  });
  return {
    world,
    title: `cluster ${conductor.state.cluster!.name} on http://${conductor.address}/`,
    failed: conductor.failed,
    dump: () => conductor.dump(),
    close: () => conductor.close(),
  };
});
