// Which nodes have a store, and with which disks. A node that has one keeps it: taking a store away needs its data moved first.
import { bytesOfQuantity, canonicalJson, type Json } from '@pureflash/datapath/base';
import { select, type Erasure, type SelectableDevice } from '@pureflash/datapath/discovery';
import type { DeviceSelector } from '../api/v1alpha1/devices.ts';
import type { DiskChoice, StoreInstance } from './cluster-plan.ts';
import { domainOf, matches } from './nodes.ts';
import type { ClusterView, NodeView } from './view.ts';

export interface StorePlacement {
  readonly instances: readonly StoreInstance[];
  readonly discover: readonly { readonly node: string; readonly selection: string }[];
  /** Nodes that shall have a store and cannot, each with the reason. */
  readonly problems: readonly string[];
  /** Nodes that have a store and shall have none. */
  readonly leftOver: readonly string[];
  /** Nodes that match. */
  readonly wantedCount: number;
}

export function placeStores(view: ClusterView, endpoints: readonly string[]): StorePlacement {
  const { spec, nodes } = view;
  const isSkipped = (name: string): boolean => overrideOf(view, name)?.skip === true;
  const matching = nodes.filter((node) => matches(node, spec.stores.nodeSelector) && !isSkipped(node.name));
  const names = new Set(matching.map((node) => node.name));
  const leftOver = view.storeNodes.filter((name) => !names.has(name));
  const kept = nodes.filter((node) => leftOver.includes(node.name));
  const instances: StoreInstance[] = [];
  const discover: { node: string; selection: string }[] = [];
  const problems: string[] = [];
  for (const node of [...matching, ...kept].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const outcome = storeOn(view, node, endpoints);
    if (outcome.discover !== null) discover.push({ node: node.name, selection: outcome.discover });
    if (outcome.problem !== null) problems.push(`${node.name}: ${outcome.problem}`);
    if (outcome.instance !== null) instances.push(outcome.instance);
  }
  return { instances, discover, problems, leftOver, wantedCount: matching.length };
}

interface Outcome {
  readonly instance: StoreInstance | null;
  readonly discover: string | null;
  readonly problem: string | null;
}

function storeOn(view: ClusterView, node: NodeView, endpoints: readonly string[]): Outcome {
  const { spec } = view;
  const failed = (problem: string, discover: string | null = null): Outcome => ({ instance: null, discover, problem });
  const isNew = !view.storeNodes.includes(node.name);
  if (isNew && !node.isReady) return failed('the node is not ready');
  if (isNew && !node.isSchedulable) return failed('the node is cordoned');
  const failureDomain = domainOf(node, spec.placement.failureDomain);
  if (failureDomain === null)
    return failed(`the node has no label ${spec.placement.failureDomain}, which says its failure domain`);
  const selector = overrideOf(view, node.name)?.devices ?? spec.stores.devices;
  const erasures = (spec.stores.erase ?? []).filter((each) => each.node === node.name);
  const selection = canonicalJson([selector, erasures] as unknown as Json);
  const choice = disksOf(view, node, selector, erasures, selection);
  if (choice === null) return failed('its devices have not been looked at yet', selection);
  if (choice.disks.length === 0) {
    const why = choice.refused.length === 0 ? 'nothing on the node matches stores.devices' : choice.refused.join('; ');
    return failed(`no disk: ${why}`);
  }
  const { networks } = spec;
  const instance: StoreInstance = {
    node: node.name,
    address: node.address,
    dataPort: spec.ports.storeData,
    managementPort: spec.ports.storeManagement,
    failureDomain,
    disks: choice.disks,
    erase: choice.erase,
    servesLegacyClients: spec.security.legacyClients,
    conductors: endpoints,
    image: spec.image,
    // Left out where there are none: clusters keep the revision that they have had.
    ...(networks.client === undefined ? {} : { clientNetwork: networks.client }),
    ...(networks.replication === undefined ? {} : { replicationNetwork: networks.replication }),
  };
  return { instance, discover: null, problem: choice.refused.length === 0 ? null : choice.refused.join('; ') };
}

interface Choice {
  readonly disks: readonly DiskChoice[];
  readonly erase: readonly string[];
  readonly refused: readonly string[];
}

/** Null: nobody has looked yet, or for another selection. */
function disksOf(
  view: ClusterView,
  node: NodeView,
  selector: DeviceSelector,
  erasures: readonly Erasure[],
  selection: string,
): Choice | null {
  if (selector.files !== undefined) {
    const disks = selector.files.map((file) => ({ path: file.path, sizeBytes: bytesOfQuantity(file.size) }));
    return { disks, erase: [], refused: [] };
  }
  const report = view.discovery.get(node.name);
  if (report === undefined || report.selection !== selection) return null;
  const storeUuid = view.storeUuids.get(node.name) ?? null;
  // A resource's text is a store's id once more.
  const devices = report.devices as readonly SelectableDevice[];
  const { chosen, refused } = select({ node: node.name, devices, selector, erase: erasures, storeUuid });
  return {
    disks: chosen.map(({ path }) => ({ path, sizeBytes: null })),
    erase: chosen.filter((each) => each.as === 'erase').map((each) => each.path),
    refused: refused.map((each) => each.message),
  };
}

function overrideOf(view: ClusterView, node: string) {
  return view.spec.stores.overrides?.find((each) => each.node === node);
}
