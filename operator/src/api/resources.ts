// The door of the operator's resources, for tests, generators and the command line.
export { API_VERSION, GROUP, VERSION, crdOf, type Kind } from './crd.ts';
export {
  describe,
  refOf,
  type KubeObject,
  type ObjectMeta,
  type ObjectRef,
  type OwnerReference,
  type Resource,
} from './objects.ts';
export { check, parse, type Problem } from './validate.ts';
export { KINDS, STORAGE_CLUSTER, STORE, VOLUME } from './v1alpha1/kinds.ts';
export { crdFiles, crdTemplates } from './write-crds.ts';
