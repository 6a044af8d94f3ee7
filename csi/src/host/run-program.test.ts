// Programs that fail, are missing, talk too much or do not end.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { refusal } from '../node/testing/requests.ts';
import { Programs } from './run-program.ts';

const programs = new Programs('/nowhere');
const call = { subject: '/dev/x', deadlineMs: 5_000 };

test('arguments reach the program as they are, and no shell reads them', async () => {
  const args = ['%s|%s', '$(touch /tmp/x); `id`', '* "a" \n'];
  assert.is((await programs.run({ ...call, program: 'printf', args })).stdout.toString(), '$(touch /tmp/x); `id`|* "a" \n');
});

test('a failure has the status and the words of the program; accepted ones are answers', async () => {
  const args = ['/does/not/exist'];
  assert.match(
    await refusal(programs.run({ ...call, program: 'ls', args })),
    /^IO_ERROR: ls on \/dev\/x failed with status 2: ls: cannot access/,
  );
  assert.is((await programs.run({ ...call, program: 'ls', args, accepted: [2] })).status, 2);
  assert.match(await refusal(programs.run({ ...call, program: 'false', args: [] })), /status 1: it said nothing/);
});

test('a program that is not there is said to be missing, with its package', async () => {
  const said = await refusal(programs.run({ ...call, program: 'mkfs.nothing', args: [], packageName: 'nothing-progs' }));
  assert.is(said, 'UNSUPPORTED: cannot run mkfs.nothing for /dev/x: it is not on this machine: install nothing-progs');
});

test('the environment is ours: plain English and a search path, nothing inherited', async () => {
  const { stdout } = await programs.run({ ...call, program: 'env', args: [] });
  const lines = stdout.toString().trim().split('\n').sort();
  assert.equal(lines, ['LC_ALL=C', 'PATH=/nowhere:/usr/sbin:/usr/bin:/sbin:/bin']);
});

test('one that does not end is killed at its deadline', async () => {
  const started = performance.now();
  const said = await refusal(programs.run({ ...call, program: 'sleep', args: ['60'], deadlineMs: 100 }));
  assert.is(said, 'TIMEOUT: sleep on /dev/x did not end within 0.1 s: it said nothing');
  assert.ok(performance.now() - started < 5_000);
  assert.is((await programs.run({ ...call, program: 'true', args: [] })).status, 0, 'it is gone, so the next one may run');
});

test('of endless output only the beginning is kept', async () => {
  const said = await programs.run({ ...call, program: 'head', args: ['-c', '3000000', '/dev/zero'] });
  assert.is(said.stdout.length, 256 * 1024);
});

test.run();
