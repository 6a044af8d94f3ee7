// The processes contract on the real world, and the parsing of /proc/PID/stat.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { silentLogger } from '../log.ts';
import { processesContract } from '../testing/processes-contract.ts';
import { openNodeWorld } from './node-world.ts';
import { parseStat } from './process-stat.ts';
import { makeTestFolder } from './test-folder.ts';

const REST = '3506 3506 944 0 -1 4194304 100 0 0 0 0 0 0 0 20 0 1 0 1682070 3133440 380';

test('the fields of a stat line count from the last parenthesis', () => {
  assert.equal(parseStat(`3509 (cat) R ${REST}`), { state: 'R', startTicks: 1682070 });
  assert.equal(parseStat(`3509 (a) Z 1 (b c) S ${REST}\n`), { state: 'S', startTicks: 1682070 });
  for (const line of ['', '3509', '3509 (cat)', '3509 (cat) R 1 2', `3509 (cat) 77 ${REST}`]) assert.is(parseStat(line), null);
});
test.run();

processesContract('node', () => openNodeWorld({ log: silentLogger, ports: 'libuv' }), makeTestFolder());
