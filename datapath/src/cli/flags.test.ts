import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PfError } from '../base/errors.ts';
import { findCommand, parseFlags, suggestionFor } from './flags.ts';
import type { CommandSpec } from './flag-spec.ts';

const spec = {
  name: 'serve',
  summary: 'Serves a thing.',
  arguments: [{ name: 'SOURCE', help: 'what to serve' }],
  flags: {
    unix: { kind: 'string', help: 'socket to listen on', placeholder: 'PATH' },
    mode: { kind: 'string', help: 'how to serve', choices: ['fast', 'safe'], default: 'safe' },
    threads: { kind: 'integer', help: 'worker threads', minimum: 1, maximum: 64, default: 1, short: 't' },
    limit: { kind: 'size', help: 'largest request', default: 33554432 },
    tcp: { kind: 'tcp-address', help: 'address to listen on' },
    readOnly: { kind: 'boolean', help: 'refuse writes' },
    label: { kind: 'list', help: 'a label', placeholder: 'K=V' },
  },
  examples: ['serve memory:1G --unix /run/s.sock'],
} as const satisfies CommandSpec;

function parsed(...argv: string[]) {
  const result = parseFlags(spec, argv);
  if (result.isHelp) throw new Error('help was not asked for');
  return result;
}

function messageOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    assert.instance(error, PfError);
    assert.is((error as PfError).code, 'INVALID_ARGUMENT');
    return (error as PfError).message;
  }
  throw new Error('nothing was thrown');
}

test('values are read by their kind, flags and arguments in any order', () => {
  const { flags, arguments: words } = parsed(
    '--unix=/a=b',
    'memory:1G',
    '-t',
    '4',
    '--limit',
    '64k',
    '--read-only',
    '--tcp',
    '[::1]:10809',
  );
  assert.equal(words, ['memory:1G']);
  assert.equal(flags, {
    unix: '/a=b',
    mode: 'safe',
    threads: 4,
    limit: 65536,
    tcp: { kind: 'tcp', host: '::1', port: 10809 },
    readOnly: true,
    label: [],
  });
});

test('a list flag collects, --no- negates, -- ends the flags', () => {
  const { flags, arguments: words } = parsed('--label', 'a=1', '--label=b=2', '--read-only', '--no-read-only', '--', '--odd');
  assert.equal(flags.label, ['a=1', 'b=2']);
  assert.is(flags.readOnly, false);
  assert.equal(words, ['--odd']);
});

test('errors name the flag and what was wanted', () => {
  const cases: [string[], string][] = [
    [['x', '--treads', '2'], 'unknown flag --treads; did you mean --threads?'],
    [['x', '--zzzzzz'], 'unknown flag --zzzzzz; see serve --help'],
    [['x', '--threads', '0'], 'flag --threads is "0", wanted a whole number from 1 to 64'],
    [['x', '--threads', '2.5'], 'flag --threads is "2.5", wanted a whole number from 1 to 64'],
    [['x', '--threads'], 'flag --threads needs a value: --threads N'],
    [['x', '--threads', '1', '--threads', '2'], 'flag --threads is given twice; give it once'],
    [['x', '--mode', 'slow'], 'flag --mode is "slow", wanted one of: fast, safe'],
    [
      ['x', '--limit', '12 bananas'],
      'flag --limit: cannot read size "12 bananas": write a number of bytes or one with K, M, G or T, such as 128G',
    ],
    [
      ['x', '--tcp', 'localhost'],
      'flag --tcp: cannot read address "localhost": write HOST:PORT, such as 127.0.0.1:10809 or [::1]:10809',
    ],
    [['x', '--read-only=yes'], 'flag --read-only takes no value, but "yes" was given; write --read-only or --no-read-only'],
    [[], 'SOURCE is missing: what to serve'],
    [['x', 'y'], 'unexpected argument "y": only SOURCE is taken'],
  ];
  for (const [argv, message] of cases)
    assert.is(
      messageOf(() => parseFlags(spec, argv)),
      message,
    );
});

test('a required flag must be given', () => {
  const strict = {
    name: 'join',
    summary: '',
    flags: { node: { kind: 'string', help: 'name of this node', isRequired: true } },
  } as const;
  assert.is(
    messageOf(() => parseFlags(strict, [])),
    'flag --node TEXT is required: name of this node',
  );
  const result = parseFlags(strict, ['--node', 'n1']);
  assert.is(result.isHelp ? '' : result.flags.node, 'n1');
});

test('--help wins over everything and shows arguments, flags, defaults and examples', () => {
  const result = parseFlags(spec, ['--threads', '3', '--help']);
  assert.is(
    result.isHelp ? result.helpText : '',
    `Usage: serve SOURCE [FLAGS]

Serves a thing.

Arguments:
  SOURCE  what to serve

Flags:
      --unix PATH      socket to listen on
      --mode TEXT      how to serve (one of fast, safe; default safe)
  -t, --threads N      worker threads (default 1)
      --limit SIZE     largest request (default 32 MiB)
      --tcp HOST:PORT  address to listen on
      --read-only      refuse writes
      --label K=V      a label (may be repeated)
  -h, --help           show this text

Examples:
  serve memory:1G --unix /run/s.sock
`,
  );
});

test('findCommand() takes the longest match and suggests the nearest', () => {
  const commands = ['volume', 'volume create', 'volume delete', 'status'];
  assert.equal(findCommand('pfcli', commands, ['volume', 'create', 'v1', '--size', '1G']), {
    name: 'volume create',
    rest: ['v1', '--size', '1G'],
  });
  assert.equal(findCommand('pfcli', commands, ['volume', '--all']), { name: 'volume', rest: ['--all'] });
  assert.is(findCommand('pfcli', commands, ['--help']), null);
  assert.is(
    messageOf(() => findCommand('pfcli', commands, ['statsu'])),
    'unknown command "statsu"; did you mean "status"?',
  );
});

test('suggestionFor() is silent when nothing is near', () => {
  assert.is(suggestionFor('--replicas', ['--unix', '--tcp']), null);
  assert.is(suggestionFor('--sise', ['--size', '--since']), '--size');
});

test.run();
