// "host:port" and "[v6]:port" as the control plane writes addresses.
import { PfError } from '../base/errors.ts';

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** Without `defaultPort` the port must be there. */
export function parseHostPort(text: string, defaultPort?: number): HostPort {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = match?.[3] === undefined ? defaultPort : Number(match[3]);
  if (host === undefined || port === undefined || port > 65535) {
    throw new PfError('INVALID_ARGUMENT', `cannot read address "${text}": write host:port, such as 10.0.0.7:49180`);
  }
  return { host, port };
}

/** As a peer may call itself: a host name, an IPv4 address or an IPv6 address in brackets, and a port that can be reached. */
export function isReachableAddress(text: string): boolean {
  const match = /^(?:\[([0-9A-Fa-f:.]{2,45})\]|[A-Za-z0-9._-]{1,255}):(\d{1,5})$/.exec(text);
  if (match === null) return false;
  const port = Number(match[2]);
  return port >= 1 && port <= 65535 && (match[1] === undefined || isIpv6(match[1]));
}

/** A host without a port, as --advertise takes it: a name, an IPv4 address, or an IPv6 address without brackets. */
export const isHost = (text: string): boolean => /^[A-Za-z0-9._-]{1,255}$/.test(text) || isIpv6(text);

const isIpv6 = (text: string): boolean =>
  /^[0-9A-Fa-f:.]{2,45}$/.test(text) && text.split(':').length >= 3 && text.split('::').length <= 2 && !/:\d{5}/.test(text);

export function formatHostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
