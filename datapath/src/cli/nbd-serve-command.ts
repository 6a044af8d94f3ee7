// The command line of nbd-serve, apart from its main file so that both stay small.
import { PfError } from '../base/errors.ts';
import type { Address } from '../world/network.ts';
import { BUSY_POLL_FLAG } from './busy-poll-flag.ts';
import { CONDUCTOR_FLAG } from './conductor-flag.ts';
import { DAEMON_FLAGS } from './daemon-flags.ts';
import type { CommandSpec, FlagValues } from './flag-spec.ts';
import { CLIENT_TOKEN_FILE_FLAG } from './token-flag.ts';

export const NBD_SERVE = {
  name: 'nbd-serve',
  summary: 'Serves a block device over NBD until SIGINT or SIGTERM.',
  arguments: [{ name: 'SOURCE', help: 'memory:SIZE, file:PATH or volume:NAME' }],
  flags: {
    unix: { kind: 'string', help: 'listen on a unix socket', placeholder: 'PATH' },
    tcp: { kind: 'tcp-address', help: 'listen on a TCP address' },
    export: { kind: 'string', help: 'name of the export', placeholder: 'NAME', default: '' },
    readOnly: { kind: 'boolean', help: 'refuse writes' },
    threads: { kind: 'integer', help: 'for memory: threads that share the clients', minimum: 1, maximum: 64, default: 1 },
    busyPollUs: BUSY_POLL_FLAG,
    conductor: CONDUCTOR_FLAG,
    client: {
      kind: 'string',
      help: 'for a volume: by which name the conductor remembers who has it; default: this host',
      placeholder: 'NAME',
    },
    connections: { kind: 'integer', help: 'for a volume: TCP connections to each store', minimum: 1, maximum: 16, default: 1 },
    tokenFile: CLIENT_TOKEN_FILE_FLAG,
    ...DAEMON_FLAGS,
    storeDisk: {
      kind: 'list',
      help: 'also run a store in this process, on this disk (as pfstore --disk)',
      placeholder: 'PATH[=SIZE]',
    },
    storeHost: { kind: 'string', help: 'host of that store', placeholder: 'NAME', default: 'localhost' },
    storeData: {
      kind: 'tcp-address',
      help: 'where that store serves data',
      default: { kind: 'tcp', host: '127.0.0.1', port: 49162 },
    },
    storeHttp: {
      kind: 'tcp-address',
      help: 'where that store serves management',
      default: { kind: 'tcp', host: '127.0.0.1', port: 49181 },
    },
  },
  examples: [
    'nbd-serve memory:1G --unix /run/nbd.sock',
    'nbd-serve file:/var/lib/disk.img --tcp 127.0.0.1:10809 --export disk',
    'nbd-serve volume:test_v1 --unix /run/test_v1.sock --conductor 10.0.0.1:49180',
  ],
} as const satisfies CommandSpec;

export type NbdServeFlags = FlagValues<(typeof NBD_SERVE)['flags']>;

/** Errors: INVALID_ARGUMENT unless exactly one is given. */
export function listenAddress(unix: string | undefined, tcp: Address | undefined): Address {
  if ((unix === undefined) === (tcp === undefined)) {
    throw new PfError('INVALID_ARGUMENT', `give either --unix PATH or --tcp HOST:PORT`);
  }
  return tcp ?? { kind: 'unix', path: unix! };
}
