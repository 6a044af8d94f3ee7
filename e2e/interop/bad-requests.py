# Run by nbd-bad-requests.test.ts with Debian's python3-libnbd: asks a server for what a client must not ask (strict mode
# off) and prints one line "name: answer" per question, where the answer is "ok" or the error's name.
import errno
import sys

import nbd

uri = sys.argv[1]
size = 64 * 1024 * 1024
MiB = 1024 * 1024


def connect(structured):
    h = nbd.NBD()
    h.set_request_structured_replies(structured)
    h.add_meta_context('base:allocation')
    h.connect_uri(uri)
    h.set_strict_mode(0)
    return h


def ask(name, call):
    try:
        call()
        answer = 'ok'
    except nbd.Error as error:
        answer = error.errno if isinstance(error.errno, str) else errno.errorcode.get(error.errno, str(error.errno))
    print(f'{name}: {answer}')


def questions(h):
    block = bytearray(512)
    ask('read past the end', lambda: h.pread(512, size - 256))
    ask('read far past the end', lambda: h.pread(512, 2**63 - 512))
    ask('write past the end', lambda: h.pwrite(block, size - 256))
    ask('zero past the end', lambda: h.zero(512, size - 256))
    ask('trim past the end', lambda: h.trim(512, size - 256))
    ask('cache past the end', lambda: h.cache(512, size - 256))
    ask('cache', lambda: h.cache(512, 0))
    ask('read of length 0', lambda: h.pread(0, 0))
    ask('write of length 0', lambda: h.pwrite(bytearray(0), 0))
    ask('trim of length 0', lambda: h.trim(0, 0))
    ask('zero of length 0', lambda: h.zero(0, 0))
    ask('flush with FUA', lambda: h.flush(nbd.CMD_FLAG_FUA))
    ask('read with FUA', lambda: h.pread(512, 0, nbd.CMD_FLAG_FUA))
    ask('write with DF', lambda: h.pwrite(block, 0, nbd.CMD_FLAG_DF))
    ask('read with an unknown flag', lambda: h.pread(512, 0, 0x4000))
    ask('read with NO_HOLE', lambda: h.pread(512, 0, nbd.CMD_FLAG_NO_HOLE))
    ask('zero with FAST_ZERO', lambda: h.zero(512, 0, nbd.CMD_FLAG_FAST_ZERO))
    ask('trim with REQ_ONE', lambda: h.trim(512, 0, nbd.CMD_FLAG_REQ_ONE))
    ask('read of one byte at an odd place', lambda: h.pread(1, 12345))
    ask('write of three bytes at an odd place', lambda: h.pwrite(bytearray(b'abc'), 511))
    ask('read of 32 MiB', lambda: h.pread(32 * MiB, 0))
    ask('read of 33 MiB', lambda: h.pread(33 * MiB, 0))
    ask('write of 32 MiB', lambda: h.pwrite(bytearray(32 * MiB), 0))
    ask('write of 33 MiB', lambda: h.pwrite(bytearray(33 * MiB), 0))
    ask('zero of everything', lambda: h.zero(size, 0))
    ask('trim of everything', lambda: h.trim(size, 0))
    ask('the connection still works', lambda: h.pread(512, 0))


def options():
    h = nbd.NBD()
    h.set_opt_mode(True)
    h.connect_uri(uri)
    ask('information about an unknown export', lambda: (h.set_export_name('nothing'), h.opt_info()))
    ask('going to an unknown export', lambda: h.opt_go())
    ask('a name of 4096 bytes', lambda: (h.set_export_name('x' * 4096), h.opt_info()))
    names = []
    h.opt_list(lambda name, description: names.append(name) or 0)
    print(f'list: {names}')
    contexts = []
    h.set_export_name('disk')
    h.opt_list_meta_context(lambda name: contexts.append(name) or 0)
    print(f'contexts: {contexts}')
    h.add_meta_context('x-unknown:thing')
    ask('information', lambda: h.opt_info())
    ask('information again', lambda: h.opt_info())
    ask('going there', lambda: h.opt_go())
    print(f'size: {h.get_size()}')
    h.shutdown()


for structured in (True, False):
    print(f'# structured replies: {structured}')
    handle = connect(structured)
    questions(handle)
    handle.shutdown()
print('# options')
options()
