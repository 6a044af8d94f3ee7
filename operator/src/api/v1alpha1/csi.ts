// What a StorageCluster says of the way from a PersistentVolumeClaim to its volumes: the CSI driver, the nodes' datapath, storage classes.
import { boolean, defaulted, integer, list, object, oneOf, optional, rule, string, withRules, type Infer } from '../schema.ts';
import { ABSOLUTE_PATH, IMAGE, labels, NAME, resources, tolerations } from './parts.ts';

const image = (description: string) => optional(string(description, { minLength: 1, maxLength: 512, pattern: IMAGE }));

const sidecars = object(
  'Images of the programs of Kubernetes that stand beside the driver; by default they lie beside spec.image.',
  {
    provisioner: image('The external-provisioner.'),
    attacher: image('The external-attacher.'),
    resizer: image('The external-resizer.'),
  },
);

export const csi = object('The CSI driver csi.pureflash.io. One StorageCluster of a Kubernetes cluster can have it.', {
  enabled: defaulted(boolean('Run it, and the datapath on the nodes.'), true),
  image: image('Image of the driver; by default "pureflash-csi" beside spec.image, with the same tag.'),
  sidecars: defaulted(sidecars, {}),
  controllers: defaulted(integer('Replicas of the controller; one leads.', { minimum: 1, maximum: 2 }), 2),
  kubeletPath: defaulted(
    string("Kubelet's folder on the nodes.", { pattern: ABSOLUTE_PATH, maxLength: 512 }),
    '/var/lib/kubelet',
  ),
  nodeSelector: defaulted(labels('Labels of the nodes whose pods can use volumes; none: every node.'), {}),
  tolerations: defaulted(tolerations, [{ operator: 'Exists' }]),
  mirrorClaims: defaulted(
    boolean(
      "Show the volume of each bound claim as a Volume with the claim's name, which decides nothing; false takes these away.",
    ),
    true,
  ),
});

export const nodeDatapath = object(
  "pfnbd, which makes volumes block devices of a node. A node's runs on with the old image until its pod is deleted.",
  {
    mapper: defaulted(oneOf('How devices are made: auto takes what the kernel has.', ['auto', 'nbd', 'ublk', 'fuse']), 'auto'),
    resources,
  },
);

const storageClass = object('A storage class.', {
  name: string('Its name.', { minLength: 1, pattern: NAME }),
  replicas: defaulted(integer('Replicas of each volume.', { minimum: 1, maximum: 3 }), 3),
  fsType: defaulted(oneOf('File system of volumes that are not raw.', ['ext4', 'xfs']), 'ext4'),
  isDefault: defaulted(boolean('For claims that name no class.'), false),
  reclaimPolicy: defaulted(oneOf('What becomes of a volume whose claim is deleted.', ['Delete', 'Retain']), 'Delete'),
  allowExpansion: defaulted(boolean('Claims may grow.'), true),
});

export const storageClasses = withRules(
  list('Storage classes to be made, while csi.enabled.', storageClass, { keys: ['name'], maxItems: 32 }),
  rule(
    'self.filter(each, each.isDefault).size() <= 1',
    'storageClasses: at most one can be the default',
    (self) => self.filter((each) => each.isDefault).length <= 1,
  ),
);

export type CsiSpec = Infer<typeof csi>;
export type StorageClassSpec = Infer<typeof storageClass>;
