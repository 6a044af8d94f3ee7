// `pureflash logs`: what the daemons said, the last lines of one or of all, and what comes.
import { PfError } from '@pureflash/datapath/base';
import { parseFlags, suggestionFor, type CommandSpec } from '@pureflash/datapath/cli';
import { dataFolder } from '../host-paths.ts';
import { DATA_FLAG } from './data-flag.ts';
import type { Verb } from './terminal.ts';

const SPEC = {
  name: 'pureflash logs',
  summary: 'Shows what the daemons of a cluster said.',
  arguments: [
    { name: 'NAME', help: 'an instance, as `pureflash status` calls it; all of them if it is left out', isOptional: true },
  ],
  flags: {
    data: DATA_FLAG,
    follow: { kind: 'boolean', short: 'f', help: 'go on with what comes, until Ctrl-C' },
    lines: { kind: 'integer', short: 'n', help: 'last lines of each', minimum: 0, maximum: 100_000, default: 20 },
  },
  examples: ['pureflash logs', 'pureflash logs store/host-1 -f', 'pureflash logs -n 100 conductor/0'],
} as const satisfies CommandSpec;

const SUFFIX = '.log';

export const logs: Verb = {
  summary: 'show what the daemons said',
  async run(terminal, argv) {
    const parsed = parseFlags(SPEC, argv);
    if (parsed.isHelp) {
      terminal.out(parsed.helpText.trimEnd());
      return 0;
    }
    const { data: folder, follow, lines } = parsed.flags;
    const data = dataFolder(terminal.resolve(folder));
    const world = await terminal.openWorld();
    try {
      const names = (await world.files.list(data.log)).filter((file) => file.endsWith(SUFFIX)).map(nameOf);
      const chosen = choose(names, parsed.arguments[0], data.root);
      const width = chosen.length === 1 ? 0 : Math.max(...chosen.map((name) => name.length));
      const say = (name: string) => (line: string) => terminal.out(width === 0 ? line : `${name.padEnd(width)}  ${line}`);
      const pathOf = (name: string): string => `${data.log}/${name.replaceAll('/', '+')}${SUFFIX}`;
      if (follow !== true) {
        for (const name of chosen) for (const line of await terminal.tail(pathOf(name), lines)) say(name)(line);
        return 0;
      }
      const stopping = new AbortController();
      void terminal.interrupted.then(() => stopping.abort());
      await Promise.all(chosen.map((name) => terminal.follow(pathOf(name), lines, say(name), stopping.signal)));
      return 0;
    } finally {
      await world.close();
    }
  },
};

function nameOf(file: string): string {
  return file.slice(0, -SUFFIX.length).replaceAll('+', '/');
}

function choose(names: readonly string[], wanted: string | undefined, root: string): readonly string[] {
  if (names.length === 0) throw new PfError('NOT_FOUND', `there are no logs in ${root}; has \`pureflash up\` run there?`);
  if (wanted === undefined) return names;
  if (names.includes(wanted)) return [wanted];
  const near = suggestionFor(wanted, names);
  throw new PfError(
    'NOT_FOUND',
    `there is no instance "${wanted}"; ${near === null ? `there are ${names.join(', ')}` : `did you mean "${near}"?`}`,
  );
}
