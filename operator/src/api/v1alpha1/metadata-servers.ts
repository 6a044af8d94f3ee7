// The servers of the external engine, as a StorageCluster asks for them: run by the operator ("managed"), or somebody's own, by their
// addresses. What decides where data lies cannot change: the number of servers is in each server's configuration, and volumes stay.
import {
  defaulted,
  integer,
  list,
  object,
  optional,
  quantity,
  rule,
  string,
  transition,
  withRules,
  type Infer,
  type Rule,
} from '../schema.ts';
import { IMAGE, labels, NAME, resources, tolerations } from './parts.ts';

const endpoints = optional(
  list('Servers that you run.', string('HOST:PORT', { pattern: '^[^\\s:,]+:[0-9]{1,5}$|^\\[[0-9a-fA-F:]+\\]:[0-9]{1,5}$' }), {
    minItems: 1,
    maxItems: 7,
  }),
);

const image = (name: string) =>
  defaulted(string('Image of the servers, with a tag or a digest.', { minLength: 1, maxLength: 512, pattern: IMAGE }), name);

const placed = {
  nodeSelector: defaulted(labels('Labels of the nodes that may run one.'), {}),
  tolerations,
  resources,
  storageClassName: optional(
    string('Class of their volumes; without one their data lies on chosen nodes, below conductors.dataPath.', { minLength: 1 }),
  ),
};

const isSameText = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

interface Managed {
  readonly replicas: number;
  readonly storageClassName?: string;
  readonly storageSize: string | number;
}

const lasting = <T extends Managed>(name: string): readonly Rule<T>[] => [
  transition<T>(
    'self.replicas == oldSelf.replicas',
    `${name}.managed.replicas cannot be changed after creation: every server knows the others by their number`,
    (self, old) => self.replicas === old.replicas,
  ),
  transition<T>(
    'has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName) && self.storageSize == oldSelf.storageSize',
    `${name}.managed: storageClassName and storageSize cannot be changed after creation: the data lies there`,
    (self, old) => isSameText([self.storageClassName, self.storageSize], [old.storageClassName, old.storageSize]),
  ),
];

interface Servers {
  readonly managed?: object;
  readonly endpoints?: readonly string[];
}

const oneSide = <T extends Servers>(name: string): readonly Rule<T>[] => [
  rule<T>(
    'has(self.managed) != has(self.endpoints)',
    `give either ${name}.managed, for servers that the operator runs, or ${name}.endpoints, for yours`,
    (self) => (self.managed !== undefined) !== (self.endpoints !== undefined),
  ),
  transition<T>(
    'has(self.managed) == has(oldSelf.managed)',
    `${name} cannot move between managed and endpoints after creation: nobody would move its data`,
    (self, old) => (self.managed !== undefined) === (old.managed !== undefined),
  ),
];

const managedZookeeperFields = object('Servers that the operator runs.', {
  replicas: defaulted(integer('How many: 3 or 5, or 1 for laboratories.', { minimum: 1, maximum: 5 }), 3),
  image: image('zookeeper:3.9.3'),
  ...placed,
  storageSize: defaulted(quantity('Size of each volume.'), '8Gi'),
});

const managedZookeeper = withRules(
  managedZookeeperFields,
  rule(
    'self.replicas in [1, 3, 5]',
    'zookeeper.managed.replicas has to be odd: an even number tolerates no more failures',
    (self) => [1, 3, 5].includes(self.replicas),
  ),
  ...lasting<Infer<typeof managedZookeeperFields>>('zookeeper'),
);

const zookeeperFields = object('ZooKeeper, for the external engine.', { managed: optional(managedZookeeper), endpoints });

export const zookeeper = withRules(zookeeperFields, ...oneSide<Infer<typeof zookeeperFields>>('zookeeper'));

const managedMariadbFields = object('Servers that the operator runs.', {
  replicas: defaulted(integer('1, or 3 as a Galera cluster.', { minimum: 1, maximum: 3 }), 1),
  image: image('mariadb:11.4.5'),
  ...placed,
  storageSize: defaulted(quantity('Size of each volume.'), '20Gi'),
});

const managedMariadb = withRules(
  managedMariadbFields,
  rule(
    'self.replicas != 2',
    'mariadb.managed.replicas is 1 or 3: two servers cannot outvote each other',
    (self) => self.replicas !== 2,
  ),
  ...lasting<Infer<typeof managedMariadbFields>>('mariadb'),
);

const mariadbFields = object('MariaDB, for the external engine.', {
  managed: optional(managedMariadb),
  endpoints,
  credentialsSecret: optional(string('Secret with username and password, for servers that you run.', { pattern: NAME })),
});

export const mariadb = withRules(
  mariadbFields,
  ...oneSide<Infer<typeof mariadbFields>>('mariadb'),
  rule(
    'has(self.endpoints) == has(self.credentialsSecret)',
    'mariadb.endpoints and mariadb.credentialsSecret belong together',
    (self) => (self.endpoints !== undefined) === (self.credentialsSecret !== undefined),
  ),
);

export type ZookeeperSpec = Infer<typeof zookeeper>;
export type MariadbSpec = Infer<typeof mariadb>;
export type ManagedServersSpec = Infer<typeof managedZookeeper>;
