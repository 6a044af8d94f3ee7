// Manifests that must be refused, and why: held against the real API server and against the check that the local platform makes. A row
// changes a good manifest: at creation, or (isChange) from the good one that is there.
import type { Json, JsonObject } from '@pureflash/datapath/base';

export interface BadManifest {
  readonly kind: 'StorageCluster' | 'Volume';
  readonly what: string;
  /** JSON merge patch of the good manifest's spec. */
  readonly patch: JsonObject;
  /** What the API server says. */
  readonly expected: RegExp;
  /** What our own check says, where its words are others than the server's. */
  readonly locally?: RegExp;
  /** Refused as a change only. */
  readonly isChange?: boolean;
  /** What is changed, where it is not the good one of its kind. */
  readonly from?: 'External';
}

const FILE = { path: '/var/lib/pureflash/disk-1.img', size: '8Gi' };

export const GOOD: Readonly<Record<BadManifest['kind'], JsonObject>> = {
  StorageCluster: {
    image: 'localhost/pureflash:1.0.0',
    stores: { devices: { files: [FILE] } },
    networks: { client: '10.1.0.0/16', replication: 'fd00:1::/64' },
  },
  Volume: { clusterName: 'demo', size: '1Gi' },
};

/** The server fills in what is missing in it. */
const MANAGED: JsonObject = { managed: {} };

const external = (zookeeper: JsonObject, mariadb: JsonObject = MANAGED): JsonObject => ({
  metadataEngine: 'external',
  zookeeper,
  mariadb,
});

/** A good one of a StorageCluster with the external engine. */
export const EXTERNAL: JsonObject = { ...GOOD.StorageCluster, ...external(MANAGED) };

/** What a row changes. */
export const baseOf = ({ kind, from }: BadManifest): JsonObject => (from === 'External' ? EXTERNAL : GOOD[kind]);

/** Names that a StorageCluster cannot have: each would make a label or a name of DNS that is none. */
export const BAD_NAMES: readonly string[] = ['1st', 'a.b', `a${'b'.repeat(63)}`];
export const GOOD_NAMES: readonly string[] = ['a', `a${'b'.repeat(62)}`, 'main-2'];
export const NAME_REFUSAL = /metadata\.name has to begin with a letter and have at most 63 lower-case letters/;

const devices = (selector: Json, others: JsonObject = {}): JsonObject => ({
  stores: { devices: { files: null, ...(selector as JsonObject) }, ...others },
});

export const BAD_MANIFESTS: readonly BadManifest[] = [
  cluster('no image', { image: null }, /spec\.image: Required value/),
  cluster(
    'an image without a tag',
    { image: 'localhost/pureflash' },
    /spec\.image.*should match/,
    /spec\.image: .* does not match/,
  ),
  cluster('an image with a space', { image: 'a b:1' }, /spec\.image.*should match/, /spec\.image: .* does not match/),
  cluster('an unknown engine', { metadataEngine: 'etcd' }, /spec\.metadataEngine: Unsupported value: "etcd"/),
  cluster('no conductor', { conductors: { count: 0 } }, /spec\.conductors\.count.*greater than or equal to 1/),
  cluster('six conductors', { conductors: { count: 6 } }, /spec\.conductors\.count.*less than or equal to 5/),
  cluster('two conductors', { conductors: { count: 2 } }, /conductors\.count has to be odd with the embedded engine/),
  cluster(
    'a relative data path',
    { conductors: { dataPath: 'var/lib' } },
    /dataPath.*should match/,
    /dataPath: .* does not match/,
  ),
  cluster(
    'a count that is a text',
    { conductors: { count: 'three' } },
    /conductors\.count.*must be of type integer/,
    /count: a whole number wanted/,
  ),
  cluster('an unknown log level', { conductors: { logLevel: 'loud' } }, /logLevel: Unsupported value: "loud"/),
  cluster('no way of choosing devices', devices({}), /give exactly one of paths, byId, filter, allUnused: true and files/),
  cluster(
    'two ways of choosing devices',
    devices({ paths: ['/dev/sda'], allUnused: true }),
    /give exactly one of paths, byId, filter/,
  ),
  cluster('allUnused: false', devices({ allUnused: false }), /give exactly one of paths, byId, filter/),
  cluster(
    'a path outside /dev',
    devices({ paths: ['/etc/passwd'] }),
    /paths\[0\].*should match/,
    /paths\[0\]: .* does not match/,
  ),
  cluster('an empty filter', devices({ filter: {} }), /an empty filter would take every device/),
  cluster(
    'a filter upside down',
    devices({ filter: { minSize: '2Ti', maxSize: '1Ti' } }),
    /filter\.minSize is larger than filter\.maxSize/,
  ),
  cluster(
    'a size that is none',
    devices({ files: [{ path: '/a', size: 'big' }] }),
    /size.*should match/,
    /size: .* does not match/,
  ),
  cluster('a file twice', devices({ files: [FILE, FILE] }), /files\[1\]: Duplicate value/),
  cluster(
    'an empty list of paths',
    devices({ paths: [] }),
    /paths.*should have at least 1 items/,
    /paths: at least 1 items wanted/,
  ),
  cluster('no devices at all', { stores: { devices: null } }, /spec\.stores\.devices: Required value/),
  cluster('an override of nothing', { stores: { overrides: [{ node: 'a' }] } }, /an override gives either devices or skip: true/),
  cluster(
    'an override twice',
    {
      stores: {
        overrides: [
          { node: 'a', skip: true },
          { node: 'a', skip: true },
        ],
      },
    },
    /overrides\[1\]: Duplicate value/,
  ),
  cluster(
    'an erasure without its proof',
    { stores: { erase: [{ node: 'a', device: '/dev/sda' }] } },
    /confirmation: Required value/,
  ),
  cluster('two equal ports', { ports: { conductor: 5000, storeData: 5000 } }, /two of the ports are the same/),
  cluster('port 0', { ports: { storeData: 0 } }, /storeData.*greater than or equal to 1/),
  cluster(
    'ZooKeeper with the embedded engine',
    { zookeeper: { managed: {} } },
    /zookeeper and mariadb belong to metadataEngine: external/,
  ),
  cluster(
    'an external engine that is nowhere',
    { metadataEngine: 'external' },
    /metadataEngine: external needs zookeeper and mariadb/,
  ),
  cluster('two ZooKeepers', external({ managed: { replicas: 2 } }), /zookeeper\.managed\.replicas has to be odd/),
  cluster('seven ZooKeepers', external({ managed: { replicas: 7 } }), /zookeeper\.managed\.replicas.*less than or equal to 5/),
  cluster("a ZooKeeper that is nobody's", external({}), /give either zookeeper\.managed, for servers that the operator runs/),
  cluster(
    "a ZooKeeper that is everybody's",
    external({ managed: {}, endpoints: ['zk:2181'] }),
    /give either zookeeper\.managed, for servers that the operator runs/,
  ),
  cluster(
    'a ZooKeeper without a port',
    external({ endpoints: ['zk-1,zk-2'] }),
    /zookeeper\.endpoints\[0\].*should match/,
    /endpoints\[0\]: .* does not match/,
  ),
  cluster(
    'a ZooKeeper image without a tag',
    external({ managed: { image: 'zookeeper' } }),
    /zookeeper\.managed\.image.*should match/,
    /image: .* does not match/,
  ),
  cluster('two MariaDBs', external(MANAGED, { managed: { replicas: 2 } }), /mariadb\.managed\.replicas is 1 or 3/),
  cluster(
    'a MariaDB without a password',
    external(MANAGED, { endpoints: ['db:3306'] }),
    /mariadb\.endpoints and mariadb\.credentialsSecret belong together/,
  ),
  cluster(
    'a password for a MariaDB of ours',
    external(MANAGED, { managed: {}, credentialsSecret: 'login' }),
    /mariadb\.endpoints and mariadb\.credentialsSecret belong together/,
  ),
  cluster(
    'a network of conductors that is none',
    { security: { conductorNetworks: ['everybody'] } },
    /conductorNetworks\[0\].*should match/,
    /conductorNetworks\[0\]: .* does not match/,
  ),
  cluster('another engine later', external(MANAGED), /metadataEngine cannot be changed after creation/, undefined, true),
  other('more ZooKeepers later', { zookeeper: { managed: { replicas: 5 } } }, /replicas cannot be changed after creation/),
  other(
    'another class of volumes later',
    { mariadb: { managed: { storageClassName: 'fast' } } },
    /storageClassName and storageSize cannot be changed after creation/,
  ),
  other(
    'larger volumes later',
    { mariadb: { managed: { storageSize: '40Gi' } } },
    /storageClassName and storageSize cannot be changed after creation/,
  ),
  other(
    'a MariaDB of yours later',
    { mariadb: { managed: null, endpoints: ['db:3306'], credentialsSecret: 'login' } },
    /mariadb cannot move between managed and endpoints after creation/,
  ),
  cluster(
    'a network that is none',
    { networks: { client: '10.0.0.0' } },
    /networks\.client.*should match/,
    /client: .* does not match/,
  ),
  ...['999.1.1.1/8', '10.0.0.0/33', 'fd00::/129', 'fd00::1::2/64', '1:2:3:4:5:6:7/64', 'abc/5'].map((network) =>
    cluster(
      `${network} is no network`,
      { networks: { replication: network } },
      /networks\.replication.*should match/,
      /replication: .* does not match/,
    ),
  ),
  cluster('maintenance without an end', { maintenance: {} }, /maintenance\.until: Required value/),
  cluster(
    'maintenance until some day',
    { maintenance: { until: 'tomorrow' } },
    /until.*must be of type date-time/,
    /until: "tomorrow" is no time/,
  ),
  cluster(
    'another phrase of destruction',
    { deletion: { confirmation: 'yes' } },
    /confirmation.*should match/,
    /confirmation: .* does not match/,
  ),
  cluster(
    'two default storage classes',
    {
      storageClasses: [
        { name: 'a', isDefault: true },
        { name: 'b', isDefault: true },
      ],
    },
    /storageClasses: at most one can be the default/,
  ),
  cluster(
    'two storage classes of one name',
    { storageClasses: [{ name: 'a' }, { name: 'a', replicas: 2 }] },
    /spec\.storageClasses\[1\]: Duplicate value/,
  ),
  cluster(
    'four replicas in a storage class',
    { storageClasses: [{ name: 'a', replicas: 4 }] },
    /spec\.storageClasses\[0\]\.replicas.*should be less than or equal to 3/,
  ),
  cluster('an unknown mapper', { nodeDatapath: { mapper: 'iscsi' } }, /spec\.nodeDatapath\.mapper: Unsupported value: "iscsi"/),
  cluster('three CSI controllers', { csi: { controllers: 3 } }, /spec\.csi\.controllers.*should be less than or equal to 2/),
  cluster('other ports later', { ports: { conductor: 5000 } }, /ports cannot be changed after creation/, undefined, true),
  cluster(
    'another failure domain later',
    { placement: { failureDomain: 'rack' } },
    /failureDomain cannot be changed after creation/,
    undefined,
    true,
  ),
  cluster(
    'another data path later',
    { conductors: { dataPath: '/srv' } },
    /dataPath cannot be changed after creation/,
    undefined,
    true,
  ),
  volume('no size', { size: null }, /spec\.size: Required value/),
  volume('a tiny size', { size: '4Ki' }, /size is smaller than 1Mi/),
  volume('a huge size', { size: '65Ti' }, /size is larger than 64Ti/),
  volume('four replicas', { replicas: 4 }, /spec\.replicas.*less than or equal to 3/),
  volume('a smaller size later', { size: '512Mi' }, /size cannot shrink/, true),
  volume('fewer replicas later', { replicas: 2 }, /replicas cannot be changed after creation/, true),
  volume("a claim's later", { origin: 'Claim' }, /origin cannot be changed after creation/, true),
  volume('another cluster later', { clusterName: 'other' }, /clusterName cannot be changed after creation/, true),
];

function cluster(what: string, patch: JsonObject, expected: RegExp, locally?: RegExp, isChange = false): BadManifest {
  return { kind: 'StorageCluster', what, patch, expected, isChange, ...(locally === undefined ? {} : { locally }) };
}

/** A change of a cluster with the external engine. */
function other(what: string, patch: JsonObject, expected: RegExp): BadManifest {
  return { kind: 'StorageCluster', what, patch, expected, isChange: true, from: 'External' };
}

function volume(what: string, patch: JsonObject, expected: RegExp, isChange = false): BadManifest {
  return { kind: 'Volume', what, patch, expected, isChange };
}

/** JSON merge patch (RFC 7396). */
export function merged(base: Json | undefined, patch: Json): Json {
  if (patch === null || typeof patch !== 'object' || Array.isArray(patch)) return patch;
  const result: Record<string, Json> =
    typeof base === 'object' && base !== null && !Array.isArray(base) ? { ...(base as JsonObject) } : {};
  for (const [key, value] of Object.entries(patch as JsonObject)) {
    if (value === null) delete result[key];
    else result[key] = merged(result[key], value);
  }
  return result;
}
