// pfcli: the cluster's command line. The data path is loaded only by the verbs that need it.
import { hostname } from 'node:os';
import { BUSY_POLL_US } from '../cli/busy-poll-flag.ts';
import { runPfcli } from '../cli/pfcli/pfcli.ts';

process.exitCode = await runPfcli(process.argv.slice(2), {
  out: (text) => process.stdout.write(`${text}\n`),
  error: (text) => process.stderr.write(`${text}\n`),
  environment: process.env,
  hostName: hostname(),
  interrupted: new Promise((resolve) => {
    process.once('SIGINT', () => resolve());
    process.once('SIGTERM', () => resolve());
  }),
  readText: async (path) => (await import('node:fs/promises')).readFile(path, 'utf8'),
  openControlWorld: async () => (await import('../world/node/control-world.ts')).openControlWorld(),
  openWholeWorld: async () => {
    const { openNodeWorld } = await import('../world/node/node-world.ts');
    const { textLogger } = await import('../world/node/console-log.ts');
    return openNodeWorld({ busyPollUs: BUSY_POLL_US, log: textLogger() });
  },
});
