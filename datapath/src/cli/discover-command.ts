// pfdiscover's command line. Called by bin/pfdiscover.
import type { CommandSpec } from './flag-spec.ts';

export const DISCOVER_COMMAND = {
  name: 'pfdiscover',
  summary: 'Lists the block devices of this host: their lasting names, what is on them, and who uses them. Reads only.',
  flags: {
    json: { kind: 'boolean', help: 'JSON instead of a table' },
    loop: { kind: 'boolean', help: 'count loop devices among the candidates, for laboratories' },
    root: {
      kind: 'string',
      help: "where another root's /sys, /dev, /proc and /run are seen",
      placeholder: 'FOLDER',
      default: '/',
    },
    terminationLog: { kind: 'string', help: 'also write a JSON of at most 4096 bytes to this file', placeholder: 'PATH' },
    timeoutMs: { kind: 'integer', help: 'how long a device may take to answer', minimum: 1, maximum: 600_000, default: 10_000 },
  },
  examples: ['pfdiscover', 'pfdiscover --json', 'pfdiscover --root /host --json --termination-log /dev/termination-log'],
} as const satisfies CommandSpec;
