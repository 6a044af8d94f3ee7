// For a process that serves a block device of its own machine: while the kernel is short of memory it must not have to write to that very
// device before this process may go on. Called once, on the main thread, before others are made; they inherit the first measure.
#define _GNU_SOURCE
#include "pureflash.h"
#include <errno.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

// setIoFlusher(): 0, or -EPERM without CAP_SYS_RESOURCE, or -EINVAL before Linux 5.6.
static napi_value set_io_flusher(napi_env env, napi_callback_info info) {
  (void)info;
  return pf_number(env, prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) == 0 ? 0 : -errno);
}

// lockMemory(buffer): its pages stay once they were touched. 0, or -EPERM or -ENOMEM where the limit on locked memory forbids it.
// Not the whole process: the engine gives pages back with calls that fail on locked ones, and ends when they do.
static napi_value lock_memory(napi_env env, napi_callback_info info) {
  napi_value buffer;
  size_t count = 1, size;
  void *data;
  PF_CHECK(env, napi_get_cb_info(env, info, &count, &buffer, NULL, NULL));
  PF_CHECK(env, napi_get_arraybuffer_info(env, buffer, &data, &size));
  return pf_number(env, mlock2(data, size, MLOCK_ONFAULT) == 0 ? 0 : -errno);
}

bool pf_register_memory_guard(napi_env env, napi_value exports) {
  return pf_define(env, exports, "setIoFlusher", set_io_flusher, NULL) &&
         pf_define(env, exports, "lockMemory", lock_memory, NULL);
}
