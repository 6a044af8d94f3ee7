// The pod of a managed ZooKeeper server.
import type { ManagedServersSpec } from '../api/v1alpha1/metadata-servers.ts';
import type { ServerGroup } from '../plan/cluster-plan.ts';
import type { ClusterFrame } from './cluster-frame.ts';
import { POD_ENV, serverPod } from './server-pod.ts';
import { ZOOKEEPER_CONFIG, ZOOKEEPER_DATA, ZOOKEEPER_PORTS } from './zookeeper-files.ts';

/** Of the user "zookeeper" in the official image. */
const USER_ID = 1000;
const HEAP_MIB = 512;

export function zookeeperPod(frame: ClusterFrame, group: ServerGroup, managed: ManagedServersSpec): object {
  const script = (name: string): readonly string[] => ['bash', `${ZOOKEEPER_CONFIG}/${name}`];
  const { client, peers, election } = ZOOKEEPER_PORTS;
  return serverPod(frame, {
    group,
    managed,
    userId: USER_ID,
    graceSeconds: 30,
    dataFolder: ZOOKEEPER_DATA,
    configFolder: ZOOKEEPER_CONFIG,
    prepare: null,
    container: {
      name: 'zookeeper',
      command: script('start.sh'),
      env: [...POD_ENV, { name: 'ZK_SERVER_HEAP', value: String(HEAP_MIB) }, { name: 'ZOO_LOG_DIR', value: '/tmp' }],
      ports: [
        { name: 'client', containerPort: client, protocol: 'TCP' },
        { name: 'peers', containerPort: peers, protocol: 'TCP' },
        { name: 'election', containerPort: election, protocol: 'TCP' },
      ],
      ready: script('ready.sh'),
      alive: script('alive.sh'),
      startSeconds: 300,
    },
    mounts: [],
    volumes: [],
  });
}
