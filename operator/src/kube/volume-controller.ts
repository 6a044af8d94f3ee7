// The controller of Volumes: what wakes which key. A key is a Volume's name, and a claim's: a claim and its mirror have the same one.
// Put together by operator.ts when this process begins to lead.
import type { World } from '@pureflash/datapath/world';
import { API_VERSION } from '../api/crd.ts';
import type { KubeObject } from '../api/objects.ts';
import type { ApiTokens } from '../cluster/api-tokens.ts';
import type { StorageCluster } from '../cluster/observe.ts';
import { DRIVER_NAME } from '../manifests/builders.ts';
import { Controller, keyOfRef } from '../runtime/controller.ts';
import type { EventRecorder } from '../runtime/events.ts';
import { claimedVolumeOf, ClaimedVolumes, claimKey, type ClaimedVolume } from '../volume/claimed-volumes.ts';
import { VolumeFeed } from '../volume/feed.ts';
import { driverCluster, wantsMirrors } from '../volume/mirrors.ts';
import { VolumeReconciler } from '../volume/reconciler.ts';
import type { Volume } from '../volume/volume-ports.ts';
import type { KubeClient } from './client.ts';
import type { KubeInventory } from './inventory.ts';
import { timesOf } from './times.ts';

export interface VolumeControllerOptions {
  readonly world: World;
  readonly client: KubeClient;
  readonly inventory: KubeInventory;
  readonly tokens: ApiTokens;
  readonly events: EventRecorder;
  /** The only namespace that is looked at; null: all. */
  readonly namespace: string | null;
}

export function volumeController(options: VolumeControllerOptions): { controller: Controller; feed: VolumeFeed } {
  const { world, client, inventory, tokens, events } = options;
  const volumes = inventory.of(API_VERSION, 'Volume');
  const isLookedAt = (key: string): boolean => options.namespace === null || key.startsWith(`${options.namespace}/`);
  const claimed = new ClaimedVolumes();
  claimed.follow(inventory.claimed);
  const keysOfVolumes = (isMeant: (volume: Volume) => boolean): string[] =>
    ([...volumes.values()] as Volume[]).filter(isMeant).map((each) => keyOfRef(refOf(each)));
  const keysOfCluster = (cluster: string): string[] =>
    keysOfVolumes((each) => `${each.metadata.namespace}/${each.spec.clusterName}` === cluster);
  /** Of mirrors that are there, and of claims that are to have one. */
  const keysOfMirrors = (): string[] => [
    ...new Set([...keysOfVolumes((each) => each.spec.origin === 'Claim'), ...claimed.claims().filter(isLookedAt)]),
  ];
  const keysOfChange = (cluster: string, volume: string | null): string[] => {
    const own = volume === null ? keysOfCluster(cluster) : [`${cluster.split('/')[0]}/${volume}`];
    const driver = driverCluster(inventory);
    if (driver === null || keyOfRef(refOf(driver)) !== cluster) return own;
    const mirrored = volume === null ? keysOfMirrors() : claimed.ofVolume(volume).map(claimKey);
    return [...own, ...mirrored.filter(isLookedAt)];
  };
  const feed = new VolumeFeed(world, (cluster, volume) => {
    for (const key of keysOfChange(cluster, volume)) controller.enqueue(key);
  });
  const reconciler = new VolumeReconciler({
    client,
    inventory,
    claimed,
    feed,
    tokens,
    hash: (text) => world.sha256(new TextEncoder().encode(text)),
    now: () => timesOf(world).now,
    tell: (volume, note) => events.record(claimRef(volume), { type: 'Warning', reason: 'NotMirrored', action: 'Mirror', note }),
  });
  const controller = new Controller(world, { name: 'Volume', reconcile: reconciler.reconcile });
  controller.watch(volumes);
  controller.watch(inventory.claimed, (_ref, object, before) =>
    [...keysOf(claimedVolumeOf(object)), ...keysOf(claimedVolumeOf(before))].filter(isLookedAt),
  );
  controller.watch(inventory.of('storage.k8s.io/v1', 'CSIDriver'), ({ name }) => (name === DRIVER_NAME ? keysOfMirrors() : []));
  controller.watch(inventory.of(API_VERSION, 'StorageCluster'), (ref, object, before) => {
    const keys = haveSameEndpoints(object, before) ? [] : keysOfCluster(keyOfRef(ref));
    return haveSameMirrors(object, before) ? keys : [...keys, ...keysOfMirrors()];
  });
  return { controller, feed };
}

const keysOf = (volume: ClaimedVolume | null): string[] => (volume === null ? [] : [claimKey(volume)]);

const claimRef = ({ claim }: ClaimedVolume): KubeObject => ({
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: { ...claim },
});

function haveSameEndpoints(a: KubeObject | null, b: KubeObject | null): boolean {
  const endpointsOf = (cluster: KubeObject | null): string => (cluster as StorageCluster | null)?.status?.endpoints?.join() ?? '';
  return endpointsOf(a) === endpointsOf(b);
}

function haveSameMirrors(a: KubeObject | null, b: KubeObject | null): boolean {
  return wantsMirrors(a as StorageCluster | null) === wantsMirrors(b as StorageCluster | null) && haveSameEndpoints(a, b);
}

const refOf = ({ metadata }: KubeObject) => ({ name: metadata.name, namespace: metadata.namespace! });
