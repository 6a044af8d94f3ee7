// Store: one host's part of a cluster. The operator writes the spec; people read the status.
import type { Kind } from '../crd.ts';
import { boolean, immutable, integer, list, object, oneOf, optional, string, type Infer } from '../schema.ts';
import { conditions, NAME, nodeName, observedGeneration } from './parts.ts';

const spec = object('Which store this is.', {
  clusterName: immutable(string('Name of the StorageCluster in this namespace.', { pattern: NAME }), 'clusterName'),
  nodeName: immutable(nodeName('Name of the node.'), 'nodeName'),
});

export type StoreSpec = Infer<typeof spec>;

/** As pfdiscover reports it; field names are its. */
export const device = object('A block device of the host.', {
  path: string('Path that names it after a restart too, where there is one.', { maxLength: 512 }),
  name: string('Name that the kernel gives it.', { maxLength: 64 }),
  links: optional(list('Its other lasting names.', string('Path.', { maxLength: 512 }))),
  sizeBytes: integer('Size.', { minimum: 0 }),
  use: oneOf('What lies on it: nothing, a store of ours, or something that is not touched.', ['blank', 'store', 'foreign']),
  candidate: oneOf('Whether a selector may take it: any, only one that names it, or none.', ['any', 'named', 'never']),
  isInUse: boolean('Somebody uses it now.'),
  model: optional(string('As it says itself.', { maxLength: 256 })),
  serial: optional(string('As it says itself.', { maxLength: 256 })),
  isRotational: optional(boolean('Has to turn.')),
  transport: optional(string('How it is connected.', { maxLength: 32 })),
  usedBy: optional(string('What is on it: a file system and where it is mounted, LVM, a partition table.', { maxLength: 256 })),
  candidateReason: optional(string('Why it is no candidate.', { maxLength: 256 })),
  error: optional(string('Why it could not be looked at.', { maxLength: 256 })),
  storeUuid: optional(string('Of the store whose disk it is.', { maxLength: 36 })),
  diskUuid: optional(string('Of the disk that it is.', { maxLength: 36 })),
});

export type DeviceReport = Infer<typeof device>;

const disk = object('A disk of the store, as the conductor sees it.', {
  uuid: string('Given when it was formatted.', { maxLength: 36 }),
  device: string('Path on the host.', { maxLength: 1024 }),
  status: oneOf('Whether it works.', ['OK', 'ERROR']),
  capacity: integer('Bytes.', { minimum: 0 }),
  freePercent: integer('Free space, in steps of five percent so that an idle store writes nothing.', {
    minimum: 0,
    maximum: 100,
  }),
});

const status = object('What is.', {
  observedGeneration,
  conditions,
  storeId: optional(integer("The conductor's number for it.", { minimum: 1 })),
  storeUuid: optional(string('Lies on its disks.', { maxLength: 36 })),
  address: optional(string('Data plane, HOST:PORT.')),
  failureDomain: optional(string('Value of the label that replicas are spread over.')),
  image: optional(string('Image that it runs.', { maxLength: 512 })),
  disks: optional(list('Its disks.', disk, { maxItems: 64 })),
  discovery: optional(
    object('What the host has.', {
      selection: string('What was looked for: another selection asks for another look.', { maxLength: 16384 }),
      time: string('When it was looked at.', { format: 'date-time' }),
      devices: list('Its block devices.', device, { maxItems: 256 }),
    }),
  ),
});

export type StoreStatus = Infer<typeof status>;

export const STORE: Kind<StoreSpec, StoreStatus> = {
  kind: 'Store',
  plural: 'stores',
  shortNames: ['pfstore'],
  description: 'One host of a StorageCluster: its devices and its store daemon. Made by the operator.',
  spec,
  status,
  columns: [
    { name: 'Cluster', type: 'string', jsonPath: '.spec.clusterName' },
    { name: 'Node', type: 'string', jsonPath: '.spec.nodeName' },
    { name: 'Online', type: 'string', jsonPath: ".status.conditions[?(@.type=='Online')].status" },
    { name: 'Disks', type: 'string', jsonPath: ".status.conditions[?(@.type=='DisksHealthy')].status" },
    { name: 'Id', type: 'integer', jsonPath: '.status.storeId' },
    { name: 'Address', type: 'string', jsonPath: '.status.address', priority: 1 },
    { name: 'Reason', type: 'string', jsonPath: ".status.conditions[?(@.type=='Online')].reason", priority: 1 },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
  ],
};
