// What nbd-serve answers to requests that no client should send, asked by libnbd with its own checks switched off, and that
// one client's nonsense does not disturb another's work.
// needs: libnbd-python
// ports: both
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { NbdServeProcess } from './nbd-serve-process.ts';
import { missing, runTool } from './tool.ts';

const PYTHON = '/usr/bin/python3';
const SCRIPT = new URL('./bad-requests.py', import.meta.url).pathname;

const ANSWERS = `read past the end: EINVAL
read far past the end: EINVAL
write past the end: ENOSPC
zero past the end: ENOSPC
trim past the end: EINVAL
cache past the end: EINVAL
cache: ok
read of length 0: ok
write of length 0: ok
trim of length 0: ok
zero of length 0: ok
flush with FUA: ok
read with FUA: ok
write with DF: EINVAL
read with an unknown flag: EINVAL
read with NO_HOLE: EINVAL
zero with FAST_ZERO: ok
trim with REQ_ONE: EINVAL
read of one byte at an odd place: ok
write of three bytes at an odd place: ok
read of 32 MiB: ok
read of 33 MiB: EINVAL
write of 32 MiB: ok
write of 33 MiB: EINVAL
zero of everything: ok
trim of everything: ok
the connection still works: ok
`;

const OPTION_ANSWERS = `# options
information about an unknown export: ENOENT
going to an unknown export: ENOENT
a name of 4096 bytes: ENOENT
list: ['disk']
contexts: ['base:allocation']
information: ok
information again: ok
going there: ok
size: 67108864
`;

test('every bad request gets the answer of the protocol, and the connection goes on', async () => {
  const binding = await runTool(PYTHON, ['-c', 'import nbd']);
  if (binding.exitCode !== 0) throw missing(PYTHON);
  const server = await NbdServeProcess.start('memory:64M', { exportName: 'disk' });
  const { stdout, stderr } = await runTool(PYTHON, [SCRIPT, server.uri]);
  assert.is(await server.stop(), 'exit 0');
  assert.is(stderr, '');
  assert.is(stdout, `# structured replies: True\n${ANSWERS}# structured replies: False\n${ANSWERS}${OPTION_ANSWERS}`);
});

test.run();
