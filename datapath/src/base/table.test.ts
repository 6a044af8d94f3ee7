import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { formatTable } from './table.ts';

test("a table looks like the ones of PureFlash's own pfcli", () => {
  const table = formatTable(['Id', 'Management IP', 'Status'], [['1', '127.0.0.1', 'OK']]);
  assert.is(
    table,
    [
      '+----+---------------+--------+',
      '| Id | Management IP | Status |',
      '+----+---------------+--------+',
      '|  1 |     127.0.0.1 |     OK |',
      '+----+---------------+--------+',
    ].join('\n'),
  );
});

test('a header narrower than its cells is centred over them', () => {
  const table = formatTable(['Store ID', 'uuid'], [['1', '9ae5b25f-a1b7-4b8d-9fd0-54b578578333']]);
  assert.is(table.split('\n')[1], '| Store ID |                 uuid                 |');
});

test('a table without rows is its header', () => {
  assert.is(formatTable(['Id'], []), ['+----+', '| Id |', '+----+', '+----+'].join('\n'));
});

test.run();
