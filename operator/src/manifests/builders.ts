// The builders of Kubernetes objects, for the reconcilers.
export * from './cluster-frame.ts';
export { conductorSet, stateClaimName, stateVolume, stateVolumeName } from './conductors.ts';
export { clusterWideLabels, csiControllerName, csiNodeName, DRIVER_NAME, NAMESPACE_LABEL, pfnbdName } from './csi-names.ts';
export { csiObjects } from './csi-objects.ts';
export { discoveryName, discoveryPod } from './discovery.ts';
export { apiToken, budget, conductorService, liveConfig, monitors, storesService } from './shared.ts';
export { storeResource, storeSet } from './stores.ts';
export { peersName, serversName, serverVolumeName } from './server-names.ts';
export { serverBudget, serverObjects, serverPasswords } from './servers.ts';
