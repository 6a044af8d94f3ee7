// Kinds of daemons: one file and one line each.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { messageOf } from './testing/daemon-rig.ts';
import { Registry, type DaemonKind } from './registry.ts';

const kindOf = (kind: string, scope: DaemonKind['scope']): DaemonKind => ({
  kind,
  scope,
  define: (name, config) => ({ name, config, command: ({ socketPath }) => ({ program: kind, args: [socketPath] }) }),
});

const registry = new Registry([kindOf('scrub', 'node'), kindOf('export', 'volume'), kindOf('conductor', 'cluster')]);
const attempt = (task: () => unknown): Promise<string> => messageOf(Promise.resolve().then(task));

test('a kind defines services by its scope', () => {
  assert.is(registry.define('scrub', null, { rate: 1 }).name, 'scrub');
  const definition = registry.define('export', 'v1', { size: 2 });
  assert.equal([definition.name, definition.config], ['export/v1', { size: 2 }]);
  assert.is(registry.define('scrub', null, {}, 'host-1').name, 'scrub/host-1');
  assert.equal(
    registry.kinds('node').map(({ kind }) => kind),
    ['scrub'],
  );
  assert.is(registry.kinds().length, 3);
});

test('an unknown kind, a wrong scope and a kind given twice are refused', async () => {
  assert.match(await attempt(() => registry.define('nfs', null, {})), /^NOT_FOUND: .*the kinds are scrub, export, conductor/);
  assert.match(await attempt(() => registry.define('scrub', 'v1', {})), /^INVALID_ARGUMENT: .*its scope is node/);
  assert.match(
    await attempt(() => registry.define('export', null, {})),
    /^INVALID_ARGUMENT: .*for no volume: its scope is volume/,
  );
  assert.match(await attempt(() => new Registry([kindOf('a', 'node'), kindOf('a', 'node')])), /^ALREADY_EXISTS/);
});

test.run();
