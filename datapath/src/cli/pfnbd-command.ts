// pfnbd's command line. Called by bin/pfnbd.
import { BUSY_POLL_FLAG } from './busy-poll-flag.ts';
import { CONDUCTOR_FLAG } from './conductor-flag.ts';
import { DAEMON_FLAGS } from './daemon-flags.ts';
import type { CommandSpec } from './flag-spec.ts';
import { CLIENT_TOKEN_FILE_FLAG } from './token-flag.ts';

export const MAPPER_KINDS = ['auto', 'nbd', 'ublk', 'fuse'] as const;

export const PFNBD_COMMAND = {
  name: 'pfnbd',
  summary: "A node's datapath: attaches volumes, as kernel block devices, for whoever asks at its socket. Devices outlive it.",
  flags: {
    socket: {
      kind: 'string',
      help: 'unix socket to be asked at',
      placeholder: 'PATH',
      default: '/run/pureflash/pfnbd/pfnbd.sock',
    },
    state: {
      kind: 'string',
      help: 'folder for what is attached; on a disk, for this pfnbd alone',
      placeholder: 'DIR',
      default: '/var/lib/pureflash/pfnbd',
    },
    run: {
      kind: 'string',
      help: 'folder that need not outlive a boot',
      placeholder: 'DIR',
      default: '/run/pureflash/pfnbd',
    },
    node: { kind: 'string', help: 'by which name the cluster knows this machine', placeholder: 'NAME', isRequired: true },
    conductor: CONDUCTOR_FLAG,
    connections: { kind: 'integer', help: 'TCP connections to each store, for each volume', minimum: 1, maximum: 16, default: 1 },
    mapper: {
      kind: 'string',
      help: 'how devices are made: auto takes what the kernel has',
      choices: MAPPER_KINDS,
      default: 'auto',
    },
    tokenFile: CLIENT_TOKEN_FILE_FLAG,
    busyPollUs: BUSY_POLL_FLAG,
    ...DAEMON_FLAGS,
  },
  examples: ['pfnbd --node node-1 --conductor 10.0.0.1:49180'],
} as const satisfies CommandSpec;
