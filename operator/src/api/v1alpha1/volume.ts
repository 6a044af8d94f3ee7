// Volume: a volume that a user applies, or the mirror of one that was made for a claim.
import { bytesOfQuantity } from '@pureflash/datapath/base';
import type { Kind } from '../crd.ts';
import {
  defaulted,
  immutable,
  integer,
  object,
  oneOf,
  optional,
  quantity,
  rule,
  string,
  transition,
  withRules,
  type Infer,
} from '../schema.ts';
import { conditions, NAME, observedGeneration } from './parts.ts';

export const MAX_VOLUME_SIZE = '64Ti';

const size = withRules(
  quantity('Size; it is thin, and can grow.'),
  rule(
    `quantity(string(self)).compareTo(quantity('${MAX_VOLUME_SIZE}')) <= 0`,
    `size is larger than ${MAX_VOLUME_SIZE}`,
    (self) => bytesOfQuantity(self)! <= bytesOfQuantity(MAX_VOLUME_SIZE)!,
  ),
  rule(
    "quantity(string(self)).compareTo(quantity('1Mi')) >= 0",
    'size is smaller than 1Mi',
    (self) => bytesOfQuantity(self)! >= bytesOfQuantity('1Mi')!,
  ),
  transition(
    'quantity(string(self)).compareTo(quantity(string(oldSelf))) >= 0',
    'size cannot shrink: data may lie at the end',
    (self, old) => bytesOfQuantity(self)! >= bytesOfQuantity(old)!,
  ),
);

const spec = object('What is wanted.', {
  clusterName: immutable(
    string('Name of the StorageCluster in this namespace; of a mirror: of the one with the CSI driver.', { pattern: NAME }),
    'clusterName',
  ),
  size,
  replicas: immutable(defaulted(integer('Copies, each in another failure domain.', { minimum: 1, maximum: 3 }), 3), 'replicas'),
  deletionPolicy: defaulted(oneOf('What becomes of the data when this resource is deleted.', ['Delete', 'Retain']), 'Retain'),
  origin: immutable(
    defaulted(
      oneOf(
        'Who decides about the volume: this resource, or the claim that it mirrors. The operator makes mirrors, and takes away what is none.',
        ['Volume', 'Claim'],
      ),
      'Volume',
    ),
    'origin',
  ),
});

export type VolumeSpec = Infer<typeof spec>;

const status = object('What is.', {
  observedGeneration,
  conditions,
  phase: optional(oneOf('One word for people.', ['Pending', 'Ready', 'Degraded', 'Offline', 'Deleting', 'Failed'])),
  volumeName: optional(string("The volume's name at the conductor, as pfcli shows it.")),
  volumeId: optional(integer("The conductor's number for it.", { minimum: 1 })),
  sizeBytes: optional(integer('Size that it has.', { minimum: 0 })),
  attachedTo: optional(string('Node that writes it.')),
  claim: optional(string('NAMESPACE/NAME of the claim that it was made for.', { maxLength: 512 })),
});

export type VolumeStatus = Infer<typeof status>;

export const VOLUME: Kind<VolumeSpec, VolumeStatus> = {
  kind: 'Volume',
  plural: 'volumes',
  shortNames: ['pfv'],
  description: 'A thin, replicated volume of a StorageCluster.',
  spec,
  status,
  columns: [
    { name: 'Cluster', type: 'string', jsonPath: '.spec.clusterName' },
    { name: 'Size', type: 'string', jsonPath: '.spec.size' },
    { name: 'Replicas', type: 'integer', jsonPath: '.spec.replicas' },
    { name: 'Phase', type: 'string', jsonPath: '.status.phase' },
    { name: 'Attached', type: 'string', jsonPath: '.status.attachedTo' },
    { name: 'Origin', type: 'string', jsonPath: '.spec.origin', priority: 1 },
    { name: 'Claim', type: 'string', jsonPath: '.status.claim', priority: 1 },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
  ],
};
