// What a ZooKeeper server of ours is configured and started with, as the files of a ConfigMap. The scripts need bash (for /dev/tcp), which
// zkServer.sh needs anyway. Paths are those inside the container.

export const ZOOKEEPER_CONFIG = '/etc/pureflash-zookeeper';
export const ZOOKEEPER_DATA = '/data';
export const ZOOKEEPER_PORTS = { client: 2181, peers: 2888, election: 3888 } as const;

/** `hosts`: where the others find each server, by ordinal. */
export function zookeeperFiles(hosts: readonly string[]): Readonly<Record<string, string>> {
  return { 'zoo.cfg': zooConfig(hosts), 'start.sh': START, 'ready.sh': READY, 'alive.sh': ALIVE };
}

/** A single server is a quorum of one: it then says of itself that it leads, as others do. */
function zooConfig(hosts: readonly string[]): string {
  const { client, peers, election } = ZOOKEEPER_PORTS;
  return [
    `dataDir=${ZOOKEEPER_DATA}`,
    '# The address of the pod, which start.sh knows.',
    'clientPortAddress=POD_IP',
    `clientPort=${client}`,
    'tickTime=2000',
    'initLimit=10',
    'syncLimit=5',
    'maxClientCnxns=200',
    '# Names of pods resolve late: a server binds to every address, and looks for the others again and again.',
    'quorumListenOnAllIPs=true',
    'standaloneEnabled=false',
    'reconfigEnabled=false',
    'forceSync=yes',
    'autopurge.snapRetainCount=5',
    'autopurge.purgeInterval=12',
    'admin.enableServer=false',
    '4lw.commands.whitelist=ruok,srvr',
    ...hosts.map((host, ordinal) => `server.${ordinal + 1}=${host}:${peers}:${election}`),
    '',
  ].join('\n');
}

const START = `#!/bin/bash
# The server's number is that of its pod, from one on.
set -eu
ordinal=\${POD_NAME##*-}
echo $((ordinal + 1)) >${ZOOKEEPER_DATA}/myid
# Where Debian has it; images have it on their path.
PATH=$PATH:/usr/share/zookeeper/bin
sed "s/POD_IP/$POD_IP/" ${ZOOKEEPER_CONFIG}/zoo.cfg >${ZOOKEEPER_DATA}/zoo.cfg
exec zkServer.sh start-foreground ${ZOOKEEPER_DATA}/zoo.cfg
`;

const ASK = `exec 3<>/dev/tcp/\${POD_IP}/${ZOOKEEPER_PORTS.client} || exit 1`;

const READY = `#!/bin/bash
# Ready: leads or follows, so that a quorum stands behind what it answers.
${ASK}
printf srvr >&3
grep -Eq '^Mode: (leader|follower)' <&3
`;

const ALIVE = `#!/bin/bash
# Alive: answers at all, with or without a quorum.
${ASK}
printf ruok >&3
grep -q imok <&3
`;
