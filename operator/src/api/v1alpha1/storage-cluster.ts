// StorageCluster: the one resource that a platform team writes.
import type { Kind } from '../crd.ts';
import {
  boolean,
  defaulted,
  immutable,
  integer,
  list,
  object,
  oneOf,
  optional,
  rule,
  string,
  transition,
  withRules,
  type Infer,
} from '../schema.ts';
import { csi, nodeDatapath, storageClasses } from './csi.ts';
import { deviceSelector } from './devices.ts';
import { mariadb, zookeeper } from './metadata-servers.ts';
import {
  ABSOLUTE_PATH,
  clusterNameRule,
  conditions,
  IMAGE,
  labels,
  NAME,
  nodeName,
  observedGeneration,
  resources,
  tolerations,
} from './parts.ts';

/** What spec.deletion.confirmation has to say before a cluster with volumes goes. */
const BYTE = '(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])';
const IPV4_NETWORK = `(${BYTE}\\.){3}${BYTE}/(3[0-2]|[12]?[0-9])`;
const GROUP = '[0-9a-fA-F]{1,4}';
/** All eight groups, or "::" in the place of some: with as many before it as there may be after it. */
const IPV6 = [
  `(${GROUP}:){7}${GROUP}`,
  `(${GROUP}:){1,7}:`,
  ...[6, 5, 4, 3, 2, 1].map((before) => `(${GROUP}:){1,${before}}(:${GROUP}){1,${7 - before}}`),
  `:(:${GROUP}){1,7}`,
  '::',
].join('|');
const IPV6_NETWORK = `(${IPV6})/(12[0-8]|1[01][0-9]|[1-9]?[0-9])`;

export const DELETION_PHRASE = 'yes-destroy-all-volumes';

const cidr = (description: string) => string(description, { pattern: `^(${IPV4_NETWORK}|${IPV6_NETWORK})$`, maxLength: 50 });

const port = (description: string, fallback: number) => defaulted(integer(description, { minimum: 1, maximum: 65535 }), fallback);

const conductors = object('The control plane: one serves, the others stand by.', {
  count: defaulted(integer('How many; an odd number can agree.', { minimum: 1, maximum: 5 }), 1),
  nodeSelector: defaulted(labels('Labels of the nodes that may run one.'), {}),
  tolerations,
  resources,
  dataPath: defaulted(
    string("Folder on the node for a conductor's durable state.", { pattern: ABSOLUTE_PATH, maxLength: 512 }),
    '/var/lib/pureflash',
  ),
  logLevel: defaulted(oneOf('What conductors log; changed while they run.', ['debug', 'info', 'warn', 'error']), 'info'),
});

const override = withRules(
  object('What is different on one node.', {
    node: nodeName('Name of the node.'),
    devices: optional(deviceSelector),
    skip: optional(boolean('No store on this node.')),
  }),
  rule(
    'has(self.devices) != (has(self.skip) && self.skip)',
    'an override gives either devices or skip: true',
    (self) => (self.devices !== undefined) !== (self.skip === true),
  ),
);

const erasure = object('A device that holds data and may be erased once.', {
  node: nodeName('Name of the node.'),
  device: string('Path of the device, as the Store reports it.', { pattern: '^/', maxLength: 512 }),
  confirmation: string('Its serial number or, where it has none, its path again: proof that you mean this one.', {
    minLength: 1,
  }),
});

const stores = withRules(
  object('The store daemons: one per node.', {
    nodeSelector: defaulted(labels('Labels of the nodes that get a store; none: every node.'), {}),
    tolerations,
    resources,
    devices: deviceSelector,
    overrides: optional(list('Nodes that are different.', override, { keys: ['node'], maxItems: 256 })),
    erase: optional(list('Devices that hold data and may be erased.', erasure, { maxItems: 64 })),
    logLevel: defaulted(oneOf('What stores log; changed while they run.', ['debug', 'info', 'warn', 'error']), 'info'),
  }),
);

const ports = withRules(
  object('Ports on the nodes.', {
    conductor: port('HTTP of the conductors.', 49180),
    storeData: port('Data plane of the stores.', 49162),
    storeManagement: port('HTTP of the stores.', 49181),
  }),
  rule(
    'self.conductor != self.storeData && self.conductor != self.storeManagement && self.storeData != self.storeManagement',
    'two of the ports are the same; daemons share the addresses of their nodes',
    (self) => new Set([self.conductor, self.storeData, self.storeManagement]).size === 3,
  ),
);

const maintenance = withRules(
  object('No repair and no upgrade until a given time: the operator keeps its hands off while you work on the hosts.', {
    until: string('When it ends by itself.', { format: 'date-time' }),
    reason: optional(string('Shown in the status.', { maxLength: 200 })),
  }),
);

const spec = withRules(
  object('What is wanted.', {
    image: string('Image of all daemons, with a tag or a digest.', {
      minLength: 1,
      maxLength: 512,
      pattern: IMAGE,
    }),
    imagePullPolicy: defaulted(oneOf('When nodes pull it.', ['Always', 'IfNotPresent', 'Never']), 'IfNotPresent'),
    imagePullSecrets: optional(
      list('Secrets for pulling.', object('A secret.', { name: string('Its name.', { pattern: NAME }) }), { maxItems: 8 }),
    ),
    metadataEngine: immutable(
      defaulted(
        oneOf("Where the conductors' state lives: in themselves, or in ZooKeeper and MariaDB.", ['embedded', 'external']),
        'embedded',
      ),
      'metadataEngine',
    ),
    conductors: defaulted(conductors, {}),
    zookeeper: optional(zookeeper),
    mariadb: optional(mariadb),
    stores,
    csi: defaulted(csi, {}),
    nodeDatapath: defaulted(nodeDatapath, {}),
    storageClasses: defaulted(storageClasses, [
      { name: 'pureflash', replicas: 3, fsType: 'ext4', isDefault: false, reclaimPolicy: 'Delete', allowExpansion: true },
    ]),
    networks: defaulted(
      object("Networks for data, where nodes have several. Conductors and management stay at the nodes' own addresses.", {
        client: optional(cidr("Stores serve clients at their nodes' addresses in this network.")),
        replication: optional(cidr("Stores write to each other at their nodes' addresses in this network.")),
      }),
      {},
    ),
    ports: immutable(defaulted(ports, {}), 'ports'),
    security: defaulted(
      object('Who may do what.', {
        legacyClients: defaulted(boolean('Serve protocol version 1 clients, which carry no token.'), false),
        networkPolicies: defaulted(
          boolean('Make NetworkPolicies: only conductors and their peers may connect to managed ZooKeeper and MariaDB servers.'),
          true,
        ),
        conductorNetworks: optional(
          list(
            "Where connections of conductors seem to come from, where the pod network does not show the nodes' own addresses.",
            cidr('Network, such as 10.42.0.0/24.'),
            { minItems: 1, maxItems: 32 },
          ),
        ),
      }),
      {},
    ),
    placement: defaulted(
      object('Where replicas go.', {
        failureDomain: immutable(
          defaulted(
            string('Label of the nodes: no two replicas of a shard lie in nodes with the same value.', {
              pattern: '^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$',
            }),
            'kubernetes.io/hostname',
          ),
          'placement.failureDomain',
        ),
      }),
      {},
    ),
    recovery: defaulted(
      object('Limits of the copying that brings replicas up to date; changed while daemons run.', {
        maxParallelPerStore: defaulted(integer('Replicas that one store copies at a time.', { minimum: 1, maximum: 64 }), 4),
      }),
      {},
    ),
    maintenance: optional(maintenance),
    monitoring: defaulted(
      object('Metrics.', {
        serviceMonitor: defaulted(boolean('Make a ServiceMonitor where the cluster knows that kind.'), true),
      }),
      {},
    ),
    deletion: defaulted(
      object('What deleting this resource does.', {
        confirmation: defaulted(
          string(`"${DELETION_PHRASE}" lets a cluster with volumes be deleted, and its data with it.`, {
            pattern: `^(${DELETION_PHRASE})?$`,
          }),
          '',
        ),
      }),
      {},
    ),
  }),
  rule(
    "self.metadataEngine == 'external' || (!has(self.zookeeper) && !has(self.mariadb))",
    'zookeeper and mariadb belong to metadataEngine: external',
    (self) => self.metadataEngine === 'external' || (self.zookeeper === undefined && self.mariadb === undefined),
  ),
  rule(
    "self.metadataEngine == 'embedded' || (has(self.zookeeper) && has(self.mariadb))",
    'metadataEngine: external needs zookeeper and mariadb; "managed: {}" lets the operator run one',
    (self) => self.metadataEngine === 'embedded' || (self.zookeeper !== undefined && self.mariadb !== undefined),
  ),
  rule(
    "self.metadataEngine == 'external' || self.conductors.count % 2 == 1",
    'conductors.count has to be odd with the embedded engine: an even number tolerates no more failures',
    (self) => self.metadataEngine === 'external' || self.conductors.count % 2 === 1,
  ),
  transition(
    'self.conductors.dataPath == oldSelf.conductors.dataPath',
    'conductors.dataPath cannot be changed after creation: the state lies there',
    (self, old) => self.conductors.dataPath === old.conductors.dataPath,
  ),
);

export type StorageClusterSpec = Infer<typeof spec>;

const status = object('What is.', {
  observedGeneration,
  conditions,
  phase: optional(string('One word for people: Pending, Starting, Ready, Degraded, Upgrading, Maintenance, Deleting, Refused.')),
  version: optional(string('Image that all daemons run.', { maxLength: 512 })),
  conductors: optional(
    object('Conductors.', {
      wanted: integer('As in the spec.'),
      ready: integer('Answering.'),
      nodes: optional(list('Nodes that hold their state, by ordinal; kept for ever.', nodeName('Name of the node.'))),
    }),
  ),
  stores: optional(
    object('Stores.', {
      wanted: integer('One for each node that matches.'),
      ready: integer('Online at the conductor.'),
      upgraded: optional(integer('With the image of the spec.')),
    }),
  ),
  endpoints: optional(list('Where clients find the conductors.', string('HOST:PORT'))),
  clusterUuid: optional(string('Given by the conductors when the cluster was made.')),
});

export type StorageClusterStatus = Infer<typeof status>;

export const STORAGE_CLUSTER: Kind<StorageClusterSpec, StorageClusterStatus> = {
  kind: 'StorageCluster',
  plural: 'storageclusters',
  shortNames: ['pfcl'],
  description: 'A replicated block store on hosts of this Kubernetes cluster.',
  name: clusterNameRule,
  spec,
  status,
  columns: [
    { name: 'Phase', type: 'string', jsonPath: '.status.phase' },
    { name: 'Ready', type: 'string', jsonPath: ".status.conditions[?(@.type=='Ready')].status" },
    { name: 'Stores', type: 'integer', jsonPath: '.status.stores.ready' },
    { name: 'Wanted', type: 'integer', jsonPath: '.status.stores.wanted' },
    { name: 'Conductors', type: 'integer', jsonPath: '.status.conductors.ready' },
    { name: 'Reason', type: 'string', jsonPath: ".status.conditions[?(@.type=='Ready')].reason", priority: 1 },
    { name: 'Image', type: 'string', jsonPath: '.spec.image', priority: 1 },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
  ],
  scale: { spec: '.spec.conductors.count', status: '.status.conductors.ready' },
};
