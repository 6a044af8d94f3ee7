// pfconductor's command line. Called by bin/pfconductor.
import { CONDUCTOR_HTTP_PORT } from '../api/model.ts';
import { DAEMON_FLAGS } from './daemon-flags.ts';
import type { CommandSpec } from './flag-spec.ts';
import { TOKEN_FILE_FLAG } from './token-flag.ts';

export const CONDUCTOR_COMMAND = {
  name: 'pfconductor',
  summary:
    'Runs a conductor: keeps the cluster state, places volumes, decides failovers. The page for people is at its HTTP address.',
  flags: {
    data: { kind: 'string', help: 'folder of the durable state, created when missing', placeholder: 'DIR', isRequired: true },
    listen: {
      kind: 'tcp-address',
      help: 'where to serve HTTP; port 0 takes any',
      default: { kind: 'tcp', host: '0.0.0.0', port: CONDUCTOR_HTTP_PORT },
    },
    cluster: {
      kind: 'string',
      help: 'name of a new cluster; an existing one keeps its name',
      placeholder: 'NAME',
      default: 'pureflash',
    },
    allowSameHost: { kind: 'boolean', help: 'replicas of a shard may be on different stores of one host' },
    tokenFile: TOKEN_FILE_FLAG,
    ...DAEMON_FLAGS,
  },
  examples: [
    'pfconductor --data /var/lib/pureflash/conductor',
    'pfconductor --data ./data --listen 127.0.0.1:49180 --allow-same-host',
    'pfconductor --config /etc/pureflash/conductor.json --control /run/pureflash/conductor.sock',
  ],
} as const satisfies CommandSpec;
