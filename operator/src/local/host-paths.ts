// Where everything lies in the data folder of the local platform, and the simulated hosts: each has an address of the loopback network
// and a folder under which its absolute paths lie. Pure.
//   DATA/cluster.json   what is known of the cluster (local-state.ts)     DATA/run   sockets, records, configurations
//   DATA/host-1/...     the files of host-1                               DATA/log   what the daemons say
//   DATA/VOLUME.sock    NBD exports
import { PfError } from '@pureflash/datapath/base';

export const HOSTS_MAX = 64;
export const FIRST_HOST_NUMBER = 1;

export interface Host {
  readonly name: string;
  readonly address: string;
}

/** host-1 at SUBNET.1, host-2 at SUBNET.2, and so on, so that host-1 of the default subnet is where pfcli looks by itself. Errors: INVALID_ARGUMENT. */
export function simulatedHosts(count: number, subnet: string): readonly Host[] {
  if (!isLoopbackSubnet(subnet))
    throw new PfError(
      'INVALID_ARGUMENT',
      `cannot use the subnet "${subnet}": the first three numbers of a loopback network are wanted, such as 127.0.0`,
    );
  return Array.from({ length: count }, (_, index) => ({
    name: `host-${index + 1}`,
    address: `${subnet}.${FIRST_HOST_NUMBER + index}`,
  }));
}

function isLoopbackSubnet(subnet: string): boolean {
  const match = /^127\.(\d{1,3})\.(\d{1,3})$/.exec(subnet);
  return match !== null && Number(match[1]) <= 255 && Number(match[2]) <= 255;
}

export interface DataFolder {
  readonly root: string;
  readonly run: string;
  readonly log: string;
  readonly stateFile: string;
}

export function dataFolder(root: string): DataFolder {
  return { root, run: `${root}/run`, log: `${root}/log`, stateFile: `${root}/cluster.json` };
}

export function exportSocket(data: DataFolder, volume: string): string {
  return `${data.root}/${volume}.sock`;
}

/** A host's absolute path on this machine. Errors: INVALID_ARGUMENT for one that would leave the host's folder. */
export function pathOnHost(data: DataFolder, host: string, path: string): string {
  if (!path.startsWith('/') || path.split('/').some((part) => part === '..' || part === '.'))
    throw new PfError(
      'INVALID_ARGUMENT',
      `cannot use the path "${path}" on ${host}: an absolute path without "." and ".." is wanted`,
    );
  return `${data.root}/${host}${path}`;
}

export function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'));
}
