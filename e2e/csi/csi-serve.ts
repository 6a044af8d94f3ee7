// `make csi-serve SOCKET=PATH`: a cluster of three stores on this machine with the CSI driver, controller and node in one, at that socket,
// until Ctrl-C. Any CSI client can be pointed at it. Nothing is left but the folder.
import { mkdtempSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { ownSubnet } from '../local/local-cluster.ts';
import { removeWithDevices } from './clean-up.ts';
import { CsiCluster } from './csi-cluster.ts';

const socketPath = resolve(
  process.env['SOCKET'] === undefined || process.env['SOCKET'] === '' ? 'build/csi.sock' : process.env['SOCKET'],
);
const folder = mkdtempSync('/tmp/pf-csi-');
/** Where clients of all kinds put their mounts. */
const mountable = [...new Set(['/tmp', dirname(socketPath)])];
const cluster = new CsiCluster({
  folder,
  subnet: ownSubnet(),
  socketPath,
  kubeletFolders: mountable,
});
const interrupted = new Promise<void>((done) => {
  process.once('SIGINT', () => done());
  process.once('SIGTERM', () => done());
});
try {
  const isUp = await Promise.race([cluster.start().then(() => true), interrupted.then(() => false)]);
  if (isUp) {
    console.log(`a CSI driver on a cluster of three stores, controller and node in one:`);
    console.log(`  endpoint   unix://${socketPath}`);
    console.log(`  node       ${cluster.node.id}; volumes may be mounted below ${mountable.join(' or ')}`);
    console.log(`  look       npx pfcli list_volume --conductor ${cluster.cluster.conductorAddress}`);
    console.log(`  logs       ${folder}/*.log, ${folder}/node-1/*.log`);
    console.log('Ctrl-C ends it and removes its data.');
    await interrupted;
  }
} catch (error) {
  console.error(`csi-serve: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
} finally {
  await cluster.stop();
  removeWithDevices(folder);
}
