// The flags that every daemon has: where its configuration lies, where its manager talks to it, and what it logs.
import { LOG_LEVELS } from '../world/log.ts';

export const DAEMON_FLAGS = {
  config: {
    kind: 'string',
    help: 'JSON file with values of these flags, by their names in camel case; the command line wins',
    placeholder: 'FILE',
    isCommandLineOnly: true,
  },
  watchConfig: {
    kind: 'boolean',
    help: 'look at that file while running, and take over what can change',
    isCommandLineOnly: true,
  },
  control: {
    kind: 'string',
    help: 'unix socket at which a manager watches and changes this daemon',
    placeholder: 'PATH',
    isCommandLineOnly: true,
  },
  controlName: {
    kind: 'string',
    help: 'what it calls itself there; default: the name of the program',
    placeholder: 'NAME',
    isCommandLineOnly: true,
  },
  logLevel: { kind: 'string', help: 'what to log', choices: LOG_LEVELS, default: 'info', isLive: true },
} as const;
