// What an idle cluster costs: CPU time of each daemon over a quiet while, as a share of one core, and its resident memory.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { LocalCluster, ownSubnet } from '../local/local-cluster.ts';
import type { BenchRow } from './bench-row.ts';

/** Linux counts process times in hundredths of a second. */
const TICKS_PER_SECOND = 100;
const SETTLE_MS = 5000;

export async function benchIdle(options: { folder: string; seconds: number }): Promise<BenchRow[]> {
  const cluster = new LocalCluster({ folder: options.folder, subnet: ownSubnet() });
  try {
    await cluster.start();
    await cluster.pfcli('create_volume', '-v', 'idle', '-s', '1G', '--rep', '3');
    const front = await cluster.serve('idle');
    const daemons = [cluster.conductor, ...cluster.stores, front.daemon];
    await sleep(SETTLE_MS);
    const before = daemons.map((daemon) => ticksOf(daemon.pid));
    await sleep(options.seconds * 1000);
    return daemons.map((daemon, i) => ({
      question: `idle CPU of ${daemon.name}`,
      unit: '% of a core',
      ours: Number((((ticksOf(daemon.pid) - before[i]!) / TICKS_PER_SECOND / options.seconds) * 100).toFixed(2)),
      peers: { 'allowed at most': 0.5 },
      ratio: {},
      rounds: 1,
    }));
  } finally {
    await cluster.stop();
  }
}

function ticksOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}
