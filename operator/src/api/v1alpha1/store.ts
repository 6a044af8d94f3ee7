// Store: one host's part of a cluster. The operator writes the spec; people read the status.
import type { Kind } from '../crd.ts';
import { boolean, immutable, integer, list, object, oneOf, optional, string, type Infer } from '../schema.ts';
import { conditions, NAME, nodeName, observedGeneration } from './parts.ts';

const spec = object('Which store this is.', {
  clusterName: immutable(string('Name of the StorageCluster in this namespace.', { pattern: NAME }), 'clusterName'),
  nodeName: immutable(nodeName('Name of the node.'), 'nodeName'),
});

export type StoreSpec = Infer<typeof spec>;

const device = object('A block device of the host.', {
  path: string('Path that names it after a restart too, where there is one.', { maxLength: 512 }),
  model: optional(string('As it says itself.', { maxLength: 128 })),
  serial: optional(string('As it says itself.', { maxLength: 128 })),
  size: integer('Bytes.', { minimum: 0 }),
  isRotational: optional(boolean('Has to turn.')),
  use: oneOf('What lies on it: nothing, this store, or something that is never touched.', ['blank', 'store', 'foreign']),
  usedBy: optional(string('Who uses a foreign one: a file system and where it is mounted, LVM, a partition table.', { maxLength: 256 })),
  isSelected: boolean('The store takes it.'),
});

export type DeviceReport = Infer<typeof device>;

const disk = object('A disk of the store, as the conductor sees it.', {
  uuid: string('Given when it was formatted.', { maxLength: 36 }),
  device: string('Path on the host.', { maxLength: 1024 }),
  status: oneOf('Whether it works.', ['OK', 'ERROR']),
  capacity: integer('Bytes.', { minimum: 0 }),
  freePercent: integer('Free space, in steps of five percent so that an idle store writes nothing.', { minimum: 0, maximum: 100 }),
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
