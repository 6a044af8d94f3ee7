// Objects of the managed servers of the external engine, of ZooKeeper and of MariaDB alike: files, Services, StatefulSet, budget,
// NetworkPolicy, and the folders on nodes where their data lies. The passwords are made elsewhere (cluster/server-passwords.ts).
import type { KubeObject } from '../api/objects.ts';
import type { ServerGroup, ServerKind, WantedServers } from '../plan/cluster-plan.ts';
import { owned, REVISION_ANNOTATION, selectorOf, type ClusterFrame } from './cluster-frame.ts';
import { claimTemplate, folderVolume } from './folder-volume.ts';
import { GALERA_PORTS } from './galera-files.ts';
import { mariadbFiles } from './mariadb-files.ts';
import { MARIADB_PORT, MARIADB_USERS, passwordKey } from './mariadb-paths.ts';
import { mariadbPod } from './mariadb-pod.ts';
import { peerHosts, peersName, serverClaimName, serverClaimTemplate, serversName, serverVolumeName } from './server-names.ts';
import { zookeeperFiles, ZOOKEEPER_PORTS } from './zookeeper-files.ts';
import { zookeeperPod } from './zookeeper-pod.ts';

interface Port {
  readonly name: string;
  readonly port: number;
}

interface ServerPorts {
  readonly client: Port;
  /** Between servers. */
  readonly peers: readonly Port[];
}

function portsOf({ kind, count }: ServerGroup): ServerPorts {
  if (kind === 'zookeeper') {
    const { client, peers, election } = ZOOKEEPER_PORTS;
    return {
      client: { name: 'client', port: client },
      peers: [
        { name: 'peers', port: peers },
        { name: 'election', port: election },
      ],
    };
  }
  const galera = Object.entries(GALERA_PORTS).map(([name, port]) => ({ name, port }));
  return { client: { name: 'mariadb', port: MARIADB_PORT }, peers: count > 1 ? galera : [] };
}

/** Everything but the budget, in the order in which it is applied. */
export function serverObjects(frame: ClusterFrame, wanted: WantedServers): readonly KubeObject[] {
  const { group, mayChange, clients } = wanted;
  return [
    serverFiles(frame, wanted),
    clientService(frame, group),
    peersService(frame, group),
    ...(clients === null ? [] : [networkPolicy(frame, group, clients)]),
    ...serverVolumes(frame, group),
    ...(mayChange ? [serverSet(frame, wanted)] : []),
  ];
}

function serverFiles(frame: ClusterFrame, { group, mayFound }: WantedServers): KubeObject {
  const { kind } = group;
  const hosts = peerHosts(frame, group);
  const data = kind === 'zookeeper' ? zookeeperFiles(hosts) : mariadbFiles(hosts, mayFound);
  return owned(frame, { apiVersion: 'v1', kind: 'ConfigMap', name: serversName(frame, kind), component: kind }, { data });
}

function service(frame: ClusterFrame, kind: ServerKind, name: string, ports: readonly Port[], others: object): KubeObject {
  return owned(
    frame,
    { apiVersion: 'v1', kind: 'Service', name, component: kind },
    {
      spec: {
        type: 'ClusterIP',
        selector: selectorOf(frame, kind),
        ...others,
        ports: ports.map(({ name, port }) => ({ name, port, targetPort: port, protocol: 'TCP' })),
      },
    },
  );
}

/** Of those that are ready. */
function clientService(frame: ClusterFrame, group: ServerGroup): KubeObject {
  return service(frame, group.kind, serversName(frame, group.kind), [portsOf(group).client], {});
}

/** Servers have to find each other before any of them is ready. */
function peersService(frame: ClusterFrame, group: ServerGroup): KubeObject {
  const { client, peers } = portsOf(group);
  return service(frame, group.kind, peersName(frame, group.kind), [client, ...peers], {
    clusterIP: 'None',
    publishNotReadyAddresses: true,
  });
}

/** Conductors are known by the addresses of their nodes: pods on the network of a node have no labels that a policy could see. */
function networkPolicy(frame: ClusterFrame, group: ServerGroup, clients: readonly string[]): KubeObject {
  const { kind } = group;
  const { client, peers } = portsOf(group);
  const portOf = ({ port }: Port): object => ({ port, protocol: 'TCP' });
  const fromPeers = { from: [{ podSelector: { matchLabels: selectorOf(frame, kind) } }], ports: [...peers].map(portOf) };
  const fromClients = { from: clients.map((cidr) => ({ ipBlock: { cidr } })), ports: [portOf(client)] };
  // An empty rule would mean anybody, and no rule means nobody.
  const ingress = [...(peers.length === 0 ? [] : [fromPeers]), ...(clients.length === 0 ? [] : [fromClients])];
  return owned(
    frame,
    { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', name: serversName(frame, kind), component: kind },
    {
      spec: {
        podSelector: { matchLabels: selectorOf(frame, kind) },
        policyTypes: ['Ingress'],
        ...(ingress.length === 0 ? {} : { ingress }),
      },
    },
  );
}

function serverVolumes(frame: ClusterFrame, { kind, members }: ServerGroup): readonly KubeObject[] {
  return members.flatMap(({ ordinal, place }) => {
    if (place === null) return [];
    const name = serverVolumeName(frame, kind, ordinal);
    const claim = serverClaimName(frame, kind, ordinal);
    return [folderVolume(frame, { name, claim, component: kind, node: place.node, path: place.dataPath })];
  });
}

function serverSet(frame: ClusterFrame, { group, revision }: WantedServers): KubeObject {
  const { kind, count, storageClassName } = group;
  const managed = frame.spec[kind]!.managed!;
  const labels = selectorOf(frame, kind);
  const annotations = { [REVISION_ANNOTATION]: revision };
  const pod = kind === 'zookeeper' ? zookeeperPod(frame, group, managed) : mariadbPod(frame, group, managed);
  return owned(
    frame,
    { apiVersion: 'apps/v1', kind: 'StatefulSet', name: serversName(frame, kind), component: kind, annotations },
    {
      spec: {
        replicas: count,
        serviceName: peersName(frame, kind),
        // None is ready before a majority runs.
        podManagementPolicy: 'Parallel',
        selector: { matchLabels: labels },
        template: { metadata: { labels, annotations }, spec: pod },
        volumeClaimTemplates: [
          claimTemplate(serverClaimTemplate, storageClassName, storageClassName === null ? null : managed.storageSize),
        ],
      },
    },
  );
}

/** A drain takes one server after the other. */
export function serverBudget(frame: ClusterFrame, { group: { kind } }: WantedServers): KubeObject {
  return owned(
    frame,
    { apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', name: serversName(frame, kind), component: kind },
    {
      spec: {
        maxUnavailable: 1,
        selector: { matchLabels: selectorOf(frame, kind) },
        unhealthyPodEvictionPolicy: 'AlwaysAllow',
      },
    },
  );
}

/** Made once; `password` gives another one with each call. */
export function serverPasswords(frame: ClusterFrame, password: () => string): KubeObject {
  const passwords = Object.fromEntries(MARIADB_USERS.map((user) => [passwordKey(user), password()]));
  return owned(
    frame,
    { apiVersion: 'v1', kind: 'Secret', name: serversName(frame, 'mariadb'), component: 'mariadb' },
    { type: 'Opaque', immutable: true, stringData: { username: 'conductor', ...passwords } },
  );
}
