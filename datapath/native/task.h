// Work that may wait in the kernel for as long as a device does, on a thread of its own: neither the loop nor libuv's pool waits
// with it. A structure that begins with a pf_task is one.
#ifndef PF_TASK_H
#define PF_TASK_H

#include "pureflash.h"
#include <sys/types.h>

struct pf_task {
  // On the thread, with all signals blocked. A child that is to be waited for once the answer is on its way, or 0.
  pid_t (*run)(struct pf_task *);
  // On the loop's thread: what the promise resolves with; NULL where that cannot be made.
  napi_value (*answer)(napi_env, struct pf_task *);
  void (*destroy)(struct pf_task *);
  napi_deferred deferred;
  napi_threadsafe_function done;
};

// Takes the task over, whatever happens. Its promise; one of -errno where no thread can be had. NULL: an exception is pending.
napi_value pf_task_start(napi_env env, struct pf_task *task);

#endif
