// pfstore's command line: its flags, and the disks that they name. Called by bin/pfstore.
import { PfError } from '../base/errors.ts';
import { BUSY_POLL_FLAG } from './busy-poll-flag.ts';
import { DAEMON_FLAGS } from './daemon-flags.ts';
import { parseDiskFlag, type NamedDisk } from './disk-flag.ts';
import type { CommandSpec } from './flag-spec.ts';
import { TOKEN_FILE_FLAG } from './token-flag.ts';

/** As many as the store's own default. */
const RECOVERY_PARALLEL = 4;

export const STORE_COMMAND = {
  name: 'pfstore',
  summary: 'Runs a store: keeps replicas of volumes on its disks and serves them to clients and other stores.',
  flags: {
    disk: {
      kind: 'list',
      help: 'block device, or file that is created with this size; repeatable',
      placeholder: 'PATH[=SIZE]',
      isRequired: true,
    },
    host: { kind: 'string', help: 'failure domain: replicas are spread over hosts', placeholder: 'NAME', isRequired: true },
    data: { kind: 'tcp-address', help: 'where to serve data', default: { kind: 'tcp', host: '0.0.0.0', port: 49162 } },
    http: {
      kind: 'tcp-address',
      help: 'where to serve management and metrics',
      default: { kind: 'tcp', host: '0.0.0.0', port: 49181 },
    },
    advertise: { kind: 'string', help: 'host name or address that others reach; default: where it listens', placeholder: 'HOST' },
    clientNetwork: {
      kind: 'string',
      help: 'serve clients at the address that this machine has in this network, at the port of --data',
      placeholder: 'CIDR',
    },
    replicationNetwork: {
      kind: 'string',
      help: 'serve other stores, and nobody else, at the address that this machine has in this network',
      placeholder: 'CIDR',
    },
    conductor: { kind: 'list', help: 'address of a conductor; repeatable', placeholder: 'HOST:PORT', isRequired: true },
    format: {
      kind: 'string',
      help: 'which disks to format: blank ones, none, or all whatever they hold',
      choices: ['blank', 'never', 'force'],
      default: 'blank',
    },
    erase: {
      kind: 'list',
      help: 'a disk that may be formatted although it holds something, once; with --format force: each disk again',
      placeholder: 'PATH',
    },
    legacyClients: { kind: 'boolean', help: 'serve protocol version 1 clients, which carry no token' },
    busyPollUs: BUSY_POLL_FLAG,
    recoveryParallel: {
      kind: 'integer',
      help: 'replicas that this store brings up to date at a time',
      minimum: 1,
      maximum: 64,
      default: RECOVERY_PARALLEL,
      isLive: true,
    },
    tokenFile: TOKEN_FILE_FLAG,
    ...DAEMON_FLAGS,
  },
  examples: [
    'pfstore --disk /dev/nvme1n1 --host rack1-a --advertise 10.0.0.7 --conductor 10.0.0.1:49180',
    'pfstore --disk /dev/nvme1n1 --host a --http 10.0.0.7:49181 --client-network 10.1.0.0/16 --replication-network 10.2.0.0/16 --conductor 10.0.0.1:49180',
    'pfstore --disk ./disk.img=8G --host a --data 127.0.0.1:0 --http 127.0.0.1:0 --conductor 127.0.0.1:49180',
  ],
} as const satisfies CommandSpec;

/** Reads PATH[=SIZE]. Forced formatting wants every path confirmed. Errors: INVALID_ARGUMENT. */
export function disksOf(texts: readonly string[], isForced: boolean, confirmed: readonly string[]): NamedDisk[] {
  const disks = texts.map((text) => ({ ...parseDiskFlag(text), mayErase: confirmed.includes(parseDiskFlag(text).path) }));
  const unknown = confirmed.find((path) => !disks.some((disk) => disk.path === path));
  if (unknown !== undefined)
    throw new PfError('INVALID_ARGUMENT', `--erase ${unknown} names no disk of --disk; write it as it stands there`);
  const unconfirmed = disks.find((disk) => isForced && !disk.mayErase);
  if (unconfirmed === undefined) return disks;
  throw new PfError(
    'INVALID_ARGUMENT',
    `--format force erases "${unconfirmed.path}": confirm it with --erase ${unconfirmed.path}`,
  );
}
