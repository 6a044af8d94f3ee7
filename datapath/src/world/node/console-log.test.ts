// The level of a running program's log can be changed, for the logger and for everybody who got a child of it.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { jsonLogger, textLogger } from './console-log.ts';

test('a level that is set later holds for parents and children alike', () => {
  const lines: string[] = [];
  const log = textLogger({ level: 'warn', write: (line) => lines.push(line) });
  const child = log.child({ volume: 'v1' });
  child.info('not yet');
  log.setLevel('info');
  child.info('now');
  child.debug('never');
  child.setLevel('error');
  log.warn('not any more');
  assert.equal(lines, ['now volume=v1\n']);
});

test('a JSON line has its time, its level, and the fields of its logger', () => {
  const lines: string[] = [];
  jsonLogger({ level: 'info', fields: { a: 1 }, write: (line) => lines.push(line) }).error('failed', { b: 'x' });
  const { time, ...rest } = JSON.parse(lines[0]!) as { time: string };
  assert.match(time, /^\d{4}-\d\d-\d\dT/);
  assert.equal(rest, { level: 'error', message: 'failed', a: 1, b: 'x' });
});

test.run();
