// `make run`: a cluster on this machine, a three-replica volume, real load through NBD, the death of a store in the middle,
// and what became of the data; then a status page until Ctrl-C. ONCE=1 exits with the story's outcome.
// A second run goes on with the cluster and the data of the first.
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { runFio, type FioResult } from './fio.ts';
import { LocalCluster } from './local-cluster.ts';
import { Story } from './story.ts';

const FOLDER = 'build/run';
const VOLUME = 'demo';
const SPAN = '128m';
const LOAD_SECONDS = 15;

const isOnce = (process.env['ONCE'] ?? '') !== '';
const story = new Story();
const cluster = new LocalCluster({ folder: FOLDER });
const interrupted = new Promise<void>((resolve) => {
  process.once('SIGINT', () => resolve());
  process.once('SIGTERM', () => resolve());
});

try {
  const outcome = await Promise.race([play().then(() => true), interrupted.then(() => false)]);
  story.table();
  if (outcome && !isOnce) {
    story.say(`status page   http://${cluster.conductorAddress}/`);
    story.say(`try           npx pfcli list_volume`);
    story.say(`              nbdinfo "nbd+unix:///?socket=${cluster.folder}/${VOLUME}.sock"`);
    story.say('Ctrl-C ends the cluster; its data stays in build/run until `make clean-run`.');
    await interrupted;
  }
  if (!outcome) story.say('interrupted');
} catch (error) {
  story.table();
  story.fail(error);
} finally {
  await story.step('stop the cluster', () => cluster.stop());
}
process.exitCode = story.hasFailed ? 1 : 0;

async function play(): Promise<void> {
  const isFirst = !existsSync(`${FOLDER}/disk-1.img`);
  await story.step('start one conductor and three stores', async () => {
    await cluster.start();
    return isFirst ? 'new file-backed disks, 3 x 8 GiB, thin' : 'the disks of the run before';
  });
  await story.step(`volume "${VOLUME}", 1 GiB, 3 replicas`, async () => {
    const volumes = (await cluster.pfcli('list_volume')) as readonly { name: string }[];
    if (volumes.some((volume) => volume.name === VOLUME)) return 'found';
    await cluster.pfcli('create_volume', '-v', VOLUME, '-s', '1G', '--rep', '3');
    return 'created';
  });
  const { uri } = await story.step('serve it over NBD', async () => {
    const front = await cluster.serve(VOLUME);
    return { ...front, note: uriNote(front.uri) };
  });
  if (!isFirst) await story.step('read back what the run before wrote', () => verified(uri, 'read'));
  await story.step(`fill ${SPAN}iB with checked data`, () => verified(uri, 'write'));
  await loadAndKill(uri);
  await story.step('read everything back', () => verified(uri, 'read'));
  await story.step('all replicas in sync again', async () => {
    await cluster.waitForSync(VOLUME);
    return 'the killed store has caught up';
  });
  await story.step('compare the replicas byte by byte', async () => {
    await cluster.pfcli('compare_replicas', '-v', VOLUME);
    return 'identical';
  });
}

function uriNote(uri: string): string {
  return uri.replace('nbd+unix:///?socket=', '');
}

async function verified(uri: string, pattern: 'read' | 'write'): Promise<string> {
  const result = await runFio({ uri, pattern, blockSize: '4k', size: SPAN, isVerified: true });
  demand(result);
  return `${result.ios} requests, 0 errors`;
}

async function loadAndKill(uri: string): Promise<void> {
  await story.step(`${LOAD_SECONDS} s of 4 KiB random writes, depth 32, checked`, async () => {
    const load = runFio({ uri, pattern: 'randwrite', size: SPAN, seconds: LOAD_SECONDS, isVerified: true });
    const primary = await cluster.primaryOf(VOLUME);
    await sleep((LOAD_SECONDS / 3) * 1000);
    await primary.kill();
    story.say(`      kill -9 ${primary.name}, the volume's primary`);
    await sleep((LOAD_SECONDS / 3) * 1000);
    primary.start();
    story.say(`      ${primary.name} started again`);
    const result = await load;
    demand(result);
    return `${Math.round(result.iops)} IOPS, 0 errors, longest stall ${(result.longestMs / 1000).toFixed(2)} s`;
  });
}

function demand(result: FioResult): void {
  if (result.exitCode !== 0 || result.errors !== 0) {
    throw new Error(`fio reports errors (exit code ${result.exitCode}):\n${result.output.slice(0, 2000)}`);
  }
}
