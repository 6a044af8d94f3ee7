// A cluster with two nodes as child processes and a walker on each, for a suite's tests; nothing of it is left after them. The first node's
// driver has the controller. Processes that a test has paused go on before they end.
import { mkdtempSync } from 'node:fs';
import type { Test } from 'uvu';
import * as assert from 'uvu/assert';
import { openNodeWorld, type World } from '@pureflash/datapath/world';
import type { Walker } from '../../csi/src/walker.ts';
import { ownSubnet } from '../local/local-cluster.ts';
import { sayWhy } from '../local/say-why.ts';
import { holdersBelow, loopsBelow, mountsBelow, removeWithDevices } from './clean-up.ts';
import { CsiCluster, type CsiNode } from './csi-cluster.ts';

const MiB = 1024 ** 2;

export interface NodeInUse {
  readonly node: CsiNode;
  readonly walker: Walker;
}

export interface TwoNodes {
  readonly cluster: CsiCluster;
  readonly world: World;
  /** Both, once the tests run. */
  readonly both: () => readonly [NodeInUse, NodeInUse];
  /** Fails when a mount, a loop device or a holder is left. */
  readonly nothingIsLeft: () => void;
}

/** `label`: of the folder in /tmp; short, as unix sockets lie in it. */
export async function useTwoNodes(suite: Test, label: string): Promise<TwoNodes> {
  const folder = mkdtempSync(`/tmp/pf-${label}-`);
  const cluster = new CsiCluster({ folder, subnet: ownSubnet() });
  const world = await openNodeWorld({ ports: 'libuv', memoryBytes: 4 * MiB });
  const inUse: NodeInUse[] = [];
  suite.before(
    sayWhy(async () => {
      await cluster.start();
      const second = await cluster.addNode('node-2');
      inUse.push({ node: cluster.node, walker: cluster.node.walker(world) });
      inUse.push({ node: second, walker: second.walker(world, cluster.node.socketPath) });
    }),
  );
  suite.after(async () => {
    const { conductor, stores } = cluster.cluster;
    for (const daemon of [conductor, ...stores, ...inUse.map(({ node }) => node.pfnbd)]) daemon.signal('SIGCONT');
    for (const { walker } of inUse) walker[Symbol.dispose]();
    await cluster.stop();
    removeWithDevices(folder);
    await world.close();
  });
  return {
    cluster,
    world,
    both: () => inUse as unknown as readonly [NodeInUse, NodeInUse],
    nothingIsLeft: () => assert.equal([mountsBelow(folder), loopsBelow(folder), holdersBelow(folder)], [[], [], []]),
  };
}
