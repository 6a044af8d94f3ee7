// An image with Debian's ZooKeeper and MariaDB as this machine has them, for pods of managed servers. Built from files, as all images of
// the rig are; nothing in it is set up, since managed servers bring their own configuration and scripts.
import { lstatSync, readdirSync, readlinkSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { programFiles, writeImage, type ImageFile } from '../kube/image.ts';

const TOOLS = [
  ...[
    'bash',
    'dash',
    'cat',
    'chmod',
    'chown',
    'cut',
    'dirname',
    'basename',
    'env',
    'expr',
    'grep',
    'head',
    'hostname',
    'id',
    'ls',
    'mkdir',
  ],
  ...['mktemp', 'mv', 'readlink', 'rm', 'sed', 'sha256sum', 'sort', 'sync', 'tail', 'touch', 'tr', 'uname', 'wc', 'mawk'],
].map((name) => `/usr/bin/${name}`);
const MARIADB = [
  '/usr/sbin/mariadbd',
  ...['mariadb', 'mariadb-admin', 'mariadb-install-db', 'my_print_defaults', 'resolveip'].map((name) => `/usr/bin/${name}`),
];

/** Of a Java for developers. */
const NOT_RUN: ReadonlySet<string> = new Set(['jmods', 'man', 'include', 'legal', 'demo', 'src.zip', 'lib.src.zip']);

/** As Debian's, but with the log on standard error. */
const ENVIRONMENT = `ZOOMAIN=org.apache.zookeeper.server.quorum.QuorumPeerMain
ZOOCFGDIR=/etc/zookeeper/conf
JAVA=/usr/bin/java
CLASSPATH=/etc/zookeeper/conf:/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar
`;

export function buildServerImage(file: string, name: string): void {
  const java = realpathSync('/usr/bin/java');
  const runtime = java.slice(0, java.lastIndexOf('/bin/'));
  const libraries = filesIn(`${runtime}/lib`).flatMap(({ path }) => (path.endsWith('.so') ? programFiles(path) : []));
  const files = [
    ...[...TOOLS, ...MARIADB].flatMap((program) => programFiles(program)),
    ...programFiles('/usr/bin/bash', '/bin/bash'),
    ...programFiles('/usr/bin/dash', '/bin/sh'),
    ...programFiles(java),
    ...libraries,
    ...[runtime, '/etc/java-17-openjdk', '/usr/share/java', '/usr/share/zookeeper', '/usr/share/mysql'].flatMap(filesIn),
    { path: '/usr/bin/awk', from: { link: 'mawk' } },
    { path: '/usr/bin/java', from: { link: java } },
    { path: '/etc/zookeeper/conf/environment', from: { text: ENVIRONMENT } },
    { path: '/etc/nsswitch.conf', from: { text: 'hosts: files dns\n' } },
  ];
  const unique = new Map(files.map((each) => [each.path, each]));
  writeImage({ file, name, files: [...unique.values()], entrypoint: ['/bin/bash'] });
}

/** Everything below a folder, links as links. */
function filesIn(folder: string): ImageFile[] {
  return readdirSync(folder).flatMap((name): ImageFile[] => {
    if (NOT_RUN.has(name)) return [];
    const path = join(folder, name);
    const stat = lstatSync(path);
    if (stat.isSymbolicLink()) return [{ path, from: { link: readlinkSync(path) } }];
    if (stat.isDirectory()) return filesIn(path);
    return stat.isFile() ? [{ path, from: { source: path } }] : [];
  });
}
