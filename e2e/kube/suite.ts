// One control plane for all suites of a process, and its end with the last of them. Called by test files:
//   const plane = useControlPlane(test, { withControllerManager: true });      then plane().kubectl(...) inside a test
//   const nodes = useNodes(test, plane, 3);                                     then nodes()[0].loadImage(...)
import type { Test } from 'uvu';
import { sayWhy } from '../local/say-why.ts';
import { ClusterNode } from './cluster-node.ts';
import { ClusterNetwork } from './cluster-network.ts';
import { ControlPlane } from './control-plane.ts';
import type { ControlPlaneOptions } from './control-plane.ts';

let shared: Promise<ControlPlane> | null = null;
let userCount = 0;

/** Starts the control plane before the suite's tests and stops it after the last suite. The first suite's options count. */
export function useControlPlane(suite: Test, options: ControlPlaneOptions = {}): () => ControlPlane {
  let plane: ControlPlane | null = null;
  userCount++;
  suite.before(
    sayWhy(async () => {
      plane = await (shared ??= ControlPlane.start(options));
    }),
  );
  suite.after(async () => {
    if (--userCount > 0 || shared === null) return;
    const ending = shared;
    shared = null;
    await (await ending).stop();
  });
  return () => {
    if (plane === null) throw new Error('the control plane runs only while the tests of the suite do');
    return plane;
  };
}

/** Starts the cluster's network and `count` nodes, one after the other, before the suite's tests; they end with their control plane. */
export function useNodes(suite: Test, plane: () => ControlPlane, count: number): () => readonly ClusterNode[] {
  const nodes: ClusterNode[] = [];
  suite.before(
    sayWhy(async () => {
      await ClusterNetwork.start(plane());
      for (let index = 1; index <= count; index++) nodes.push(await ClusterNode.start(plane(), { index }));
    }),
  );
  return () => nodes;
}
