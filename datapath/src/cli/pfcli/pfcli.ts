// pfcli, the cluster's command line: finds the verb, parses its flags, runs it, and turns failures into one line on standard
// error and an exit code (api/errors.ts). Called by bin/pfcli and by tests, which inject terminal and world.
import { exitCodeOf } from '../../api/errors.ts';
import { errorCodeOf, formatErrorChain } from '../../base/errors.ts';
import type { World } from '../../world/world.ts';
import { conductorAddresses } from '../conductor-flag.ts';
import { findCommand, parseFlags } from '../flags.ts';
import { readToken, tokenFileOf } from '../token-flag.ts';
import { VERBS } from './verb-table.ts';
import type { ControlWorld, VerbContext } from './verb.ts';

export interface Terminal {
  out(text: string): void;
  error(text: string): void;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Of the machine that this runs on. */
  readonly hostName: string;
  readonly interrupted: Promise<void>;
  /** Of a text file. */
  readText(path: string): Promise<string>;
  openControlWorld(): Promise<ControlWorld & { close(): Promise<void> }>;
  openWholeWorld(): Promise<World>;
}

/** Returns the exit code: 0, the code of the error, or what the verb says. */
export async function runPfcli(argv: readonly string[], terminal: Terminal): Promise<number> {
  try {
    const found = findCommand('pfcli', Object.keys(VERBS), argv);
    if (found === null) {
      terminal.out(overview());
      return argv.length === 0 ? 64 : 0;
    }
    const verb = await VERBS[found.name]!.load();
    const parsed = parseFlags(verb.spec, found.rest);
    if (parsed.isHelp) {
      terminal.out(parsed.helpText);
      return 0;
    }
    return await runVerb(terminal, parsed.flags, (context) => verb.run(context, parsed.flags));
  } catch (error) {
    terminal.error(`pfcli: ${formatErrorChain(error)}`);
    return exitCodeOf(errorCodeOf(error));
  }
}

async function runVerb(
  terminal: Terminal,
  flags: Readonly<Record<string, unknown>>,
  run: (context: VerbContext) => Promise<number>,
): Promise<number> {
  const { ConductorClient } = await import('../../api/conductor-client.ts');
  const path = tokenFileOf(flags['tokenFile'] as string | undefined, terminal.environment);
  const token = await readToken(path, (file) => terminal.readText(file));
  const opened = await terminal.openControlWorld();
  const { withTokenSent } = await import('../../api/api-token.ts');
  const control = token === null ? opened : { ...opened, http: withTokenSent(opened.http, token) };
  let whole: World | null = null;
  const addresses = conductorAddresses(flags['conductor'] as readonly string[], terminal.environment);
  try {
    return await run({
      world: control,
      conductor: new ConductorClient(control, addresses, { unreachableMs: (flags['timeout'] as number) * 1000 }),
      conductorAddresses: addresses,
      hostName: terminal.hostName,
      print: (reply, render) => terminal.out(flags['json'] === true ? JSON.stringify(reply, null, 2) : render(reply)),
      openWholeWorld: async () => (whole ??= await wholeWorld(terminal, token)),
      interrupted: terminal.interrupted,
    });
  } finally {
    await (whole as World | null)?.close();
    await control.close();
  }
}

async function wholeWorld(terminal: Terminal, token: string | null): Promise<World> {
  const { withToken } = await import('../../api/api-token.ts');
  const world = await terminal.openWholeWorld();
  return token === null ? world : withToken(world, token);
}

function overview(): string {
  const width = Math.max(...Object.keys(VERBS).map((name) => name.length));
  return [
    'pfcli: look at and change a PureFlash cluster.',
    '',
    'Usage: pfcli VERB [FLAGS]',
    '',
    'Verbs:',
    ...Object.entries(VERBS).map(([name, entry]) => `  ${name.padEnd(width)}  ${entry.summary}`),
    '',
    'Every verb takes --help, --json and --conductor HOST:PORT (default: PUREFLASH_CONDUCTOR, or 127.0.0.1:49180).',
  ].join('\n');
}
