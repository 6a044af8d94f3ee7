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

export function formatHostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
