// Mounts, loop devices and borrowed descriptors: calls of the kernel that Node does not have. Those that may wait for a device which
// this very process serves run on libuv's thread pool and answer by a promise of 0 (or a number) or -errno.
#define _GNU_SOURCE
#include "pureflash.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <uv.h>

#define PF_SYS_PIDFD_OPEN 434
#define PF_SYS_PIDFD_GETFD 438

// The kernel's loop interface, declared here because the headers of build machines may be older than LOOP_CONFIGURE.
#define PF_LOOP_CLEAR 0x4C01
#define PF_LOOP_SET_STATUS 0x4C04
#define PF_LOOP_GET_STATUS 0x4C05
#define PF_LOOP_SET_CAPACITY 0x4C07
#define PF_LOOP_CONFIGURE 0x4C0A
#define PF_LOOP_GET_FREE 0x4C82
#define PF_LOOP_AUTOCLEAR 4u

struct pf_loop_info {
  uint64_t device, inode, rdevice, offset, size_limit;
  uint32_t number, encrypt_type, encrypt_key_size, flags;
  uint8_t file_name[64], crypt_name[64], encrypt_key[32];
  uint64_t init[2];
};

struct pf_loop_config {
  uint32_t fd, block_size;
  struct pf_loop_info info;
  uint64_t reserved[8];
};

_Static_assert(sizeof(struct pf_loop_info) == 232, "loop_info64");
_Static_assert(sizeof(struct pf_loop_config) == 304, "loop_config");

struct call {
  napi_async_work work;
  napi_deferred deferred;
  int (*run)(const struct call *call);
  int32_t numbers[4];
  char *texts[2];
  int result;
};

static void execute(napi_env env, void *data) {
  (void)env;
  struct call *call = data;
  call->result = call->run(call);
}

static void free_call(struct call *call) {
  free(call->texts[0]);
  free(call->texts[1]);
  free(call);
}

static void completed(napi_env env, napi_status status, void *data) {
  struct call *call = data;
  if (status == napi_cancelled) call->result = -ECANCELED;
  napi_resolve_deferred(env, call->deferred, pf_number(env, call->result));
  napi_delete_async_work(env, call->work);
  free_call(call);
}

static char *copy_text(napi_env env, napi_value value) {
  size_t length;
  if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok) return NULL;
  char *text = malloc(length + 1);
  if (text != NULL) napi_get_value_string_utf8(env, value, text, length + 1, &length);
  return text;
}

// Starts `run` on the thread pool with the arguments of this call: first the texts, then the numbers.
static napi_value start(napi_env env, napi_callback_info info, int (*run)(const struct call *), size_t texts, size_t numbers) {
  size_t count = texts + numbers;
  napi_value arguments[6], promise, name;
  struct call *call = calloc(1, sizeof *call);
  bool is_good = call != NULL && napi_get_cb_info(env, info, &count, arguments, NULL, NULL) == napi_ok && count >= texts + numbers;
  for (size_t at = 0; is_good && at < texts; at++) {
    call->texts[at] = copy_text(env, arguments[at]);
    is_good = call->texts[at] != NULL;
  }
  for (size_t at = 0; is_good && at < numbers; at++) {
    is_good = napi_get_value_int32(env, arguments[texts + at], &call->numbers[at]) == napi_ok;
  }
  if (is_good) {
    call->run = run;
    is_good = napi_create_promise(env, &call->deferred, &promise) == napi_ok &&
              napi_create_string_utf8(env, "pureflash", NAPI_AUTO_LENGTH, &name) == napi_ok &&
              napi_create_async_work(env, NULL, name, execute, completed, call, &call->work) == napi_ok &&
              napi_queue_async_work(env, call->work) == napi_ok;
  }
  if (is_good) return promise;
  if (call != NULL) free_call(call);
  napi_throw_type_error(env, NULL, "wrong arguments");
  return NULL;
}

static int run_mount(const struct call *call) {
  const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME;
  return mount("pureflash", call->texts[0], "fuse", flags, call->texts[1]) == 0 ? 0 : -errno;
}

static int run_unmount(const struct call *call) { return umount2(call->texts[0], call->numbers[0]) == 0 ? 0 : -errno; }

static int run_loop_find_free(const struct call *call) {
  int number = ioctl(call->numbers[0], PF_LOOP_GET_FREE);
  return number >= 0 ? number : -errno;
}

static int run_loop_configure(const struct call *call) {
  struct pf_loop_config config = {.fd = (uint32_t)call->numbers[1], .block_size = (uint32_t)call->numbers[2]};
  config.info.flags = (uint32_t)call->numbers[3];
  return ioctl(call->numbers[0], PF_LOOP_CONFIGURE, &config) == 0 ? 0 : -errno;
}

static int run_loop_set_capacity(const struct call *call) {
  return ioctl(call->numbers[0], PF_LOOP_SET_CAPACITY, 0) == 0 ? 0 : -errno;
}

static int run_loop_clear(const struct call *call) { return ioctl(call->numbers[0], PF_LOOP_CLEAR, 0) == 0 ? 0 : -errno; }

// Takes back a clearing that waits for another opener to go.
static int run_loop_keep(const struct call *call) {
  struct pf_loop_info status;
  if (ioctl(call->numbers[0], PF_LOOP_GET_STATUS, &status) != 0) return -errno;
  status.flags &= ~PF_LOOP_AUTOCLEAR;
  return ioctl(call->numbers[0], PF_LOOP_SET_STATUS, &status) == 0 ? 0 : -errno;
}

// mountFuse(folder, options) -> promise of 0 or -errno.
static napi_value mount_fuse(napi_env env, napi_callback_info info) { return start(env, info, run_mount, 2, 0); }
// unmountFolder(folder, flags)
static napi_value unmount_folder(napi_env env, napi_callback_info info) { return start(env, info, run_unmount, 1, 1); }
// loopFindFree(controlFd) -> promise of the number of a free device, or -errno.
static napi_value loop_find_free(napi_env env, napi_callback_info info) { return start(env, info, run_loop_find_free, 0, 1); }
// loopConfigure(fd, backingFd, blockSizeBytes, flags)
static napi_value loop_configure(napi_env env, napi_callback_info info) { return start(env, info, run_loop_configure, 0, 4); }
// loopSetCapacity(fd), loopClear(fd), loopKeep(fd)
static napi_value loop_set_capacity(napi_env env, napi_callback_info info) { return start(env, info, run_loop_set_capacity, 0, 1); }
static napi_value loop_clear(napi_env env, napi_callback_info info) { return start(env, info, run_loop_clear, 0, 1); }
static napi_value loop_keep(napi_env env, napi_callback_info info) { return start(env, info, run_loop_keep, 0, 1); }

static bool read_numbers(napi_env env, napi_callback_info info, size_t wanted, int32_t *numbers) {
  size_t count = wanted;
  napi_value arguments[2];
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count < wanted) return false;
  for (size_t at = 0; at < wanted; at++) {
    if (napi_get_value_int32(env, arguments[at], &numbers[at]) != napi_ok) return false;
  }
  return true;
}

// pidfdOpen(pid) -> fd or -errno.
static napi_value pidfd_open_(napi_env env, napi_callback_info info) {
  int32_t numbers[1];
  if (!read_numbers(env, info, 1, numbers)) PF_CHECK(env, napi_invalid_arg);
  long fd = syscall(PF_SYS_PIDFD_OPEN, numbers[0], 0);
  return pf_number(env, fd < 0 ? -errno : fd);
}

// pidfdGetFd(pidfd, fdThere) -> fd or -errno: the same open file, closed on exec.
static napi_value pidfd_get_fd(napi_env env, napi_callback_info info) {
  int32_t numbers[2];
  if (!read_numbers(env, info, 2, numbers)) PF_CHECK(env, napi_invalid_arg);
  long fd = syscall(PF_SYS_PIDFD_GETFD, numbers[0], numbers[1], 0);
  return pf_number(env, fd < 0 ? -errno : fd);
}

// duplicateDescriptor(fd) -> another descriptor of the same open file, closed on exec, or -errno.
static napi_value duplicate_descriptor(napi_env env, napi_callback_info info) {
  int32_t numbers[1];
  if (!read_numbers(env, info, 1, numbers)) PF_CHECK(env, napi_invalid_arg);
  int fd = fcntl(numbers[0], F_DUPFD_CLOEXEC, 0);
  return pf_number(env, fd < 0 ? -errno : fd);
}

// readNow(fd, bytes: Uint8Array, offset, length) -> how many, or -errno. For descriptors that do not block: the ring would wait in their place.
static napi_value read_now(napi_env env, napi_callback_info info) {
  size_t count = 4, size;
  napi_value arguments[4];
  napi_typedarray_type type;
  void *data;
  int32_t fd;
  int64_t offset, length;
  PF_CHECK(env, napi_get_cb_info(env, info, &count, arguments, NULL, NULL));
  PF_CHECK(env, napi_get_value_int32(env, arguments[0], &fd));
  PF_CHECK(env, napi_get_typedarray_info(env, arguments[1], &type, &size, &data, NULL, NULL));
  PF_CHECK(env, napi_get_value_int64(env, arguments[2], &offset));
  PF_CHECK(env, napi_get_value_int64(env, arguments[3], &length));
  if (type != napi_uint8_array || offset < 0 || length < 0 || (uint64_t)offset + (uint64_t)length > size) {
    napi_throw_range_error(env, NULL, "readNow: a range of a Uint8Array is wanted");
    return NULL;
  }
  ssize_t result = read(fd, (uint8_t *)data + offset, (size_t)length);
  return pf_number(env, result < 0 ? -errno : (double)result);
}

// A descriptor watched by libuv's own loop, for worlds without a ring.
struct watch {
  uv_poll_t poll;
  napi_env env;
  napi_ref callback;
  napi_async_cleanup_hook_handle cleanup;
  bool is_closing;
};

static void watch_closed(uv_handle_t *handle) {
  struct watch *watch = handle->data;
  napi_delete_reference(watch->env, watch->callback);
  napi_remove_async_cleanup_hook(watch->cleanup);
  free(watch);
}

static void close_watch(struct watch *watch) {
  if (watch->is_closing) return;
  watch->is_closing = true;
  uv_close((uv_handle_t *)&watch->poll, watch_closed);
}

static void environment_ends(napi_async_cleanup_hook_handle handle, void *data) {
  (void)handle;
  close_watch(data);
}

static void watch_fired(uv_poll_t *poll, int status, int events) {
  (void)status;
  (void)events;
  struct watch *watch = poll->data;
  napi_env env = watch->env;
  napi_handle_scope scope;
  napi_value global, function, exception;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  napi_status result = napi_get_global(env, &global);
  if (result == napi_ok) result = napi_get_reference_value(env, watch->callback, &function);
  if (result == napi_ok) result = napi_make_callback(env, NULL, global, function, 0, NULL, NULL);
  bool is_thrown = false;
  if (result == napi_pending_exception && napi_is_exception_pending(env, &is_thrown) == napi_ok && is_thrown &&
      napi_get_and_clear_last_exception(env, &exception) == napi_ok) {
    napi_fatal_exception(env, exception);
  }
  napi_close_handle_scope(env, scope);
}

// watchReadable(fd, callback) -> handle or -errno. The callback comes in every turn of the loop in which the descriptor is readable.
static napi_value watch_readable(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2], handle;
  uv_loop_t *loop;
  int32_t fd;
  PF_CHECK(env, napi_get_cb_info(env, info, &count, arguments, NULL, NULL));
  PF_CHECK(env, napi_get_value_int32(env, arguments[0], &fd));
  PF_CHECK(env, napi_get_uv_event_loop(env, &loop));
  struct watch *watch = calloc(1, sizeof *watch);
  if (watch == NULL) return pf_number(env, -ENOMEM);
  watch->env = env;
  watch->poll.data = watch;
  int error = uv_poll_init(loop, &watch->poll, fd);
  if (error != 0) {
    free(watch);
    return pf_number(env, error);
  }
  napi_create_reference(env, arguments[1], 1, &watch->callback);
  napi_add_async_cleanup_hook(env, environment_ends, watch, &watch->cleanup);
  uv_poll_start(&watch->poll, UV_READABLE, watch_fired);
  PF_CHECK(env, napi_create_external(env, watch, NULL, NULL, &handle));
  return handle;
}

// endWatch(handle): before the descriptor is closed; the handle must not be used afterwards.
static napi_value end_watch(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument;
  struct watch *watch;
  PF_CHECK(env, napi_get_cb_info(env, info, &count, &argument, NULL, NULL));
  PF_CHECK(env, napi_get_value_external(env, argument, (void **)&watch));
  close_watch(watch);
  return NULL;
}

bool pf_register_fuse(napi_env env, napi_value exports) {
  return pf_define(env, exports, "mountFuse", mount_fuse, NULL) && pf_define(env, exports, "unmountFolder", unmount_folder, NULL) &&
         pf_define(env, exports, "loopFindFree", loop_find_free, NULL) &&
         pf_define(env, exports, "loopConfigure", loop_configure, NULL) &&
         pf_define(env, exports, "loopSetCapacity", loop_set_capacity, NULL) &&
         pf_define(env, exports, "loopClear", loop_clear, NULL) && pf_define(env, exports, "loopKeep", loop_keep, NULL) &&
         pf_define(env, exports, "pidfdOpen", pidfd_open_, NULL) && pf_define(env, exports, "pidfdGetFd", pidfd_get_fd, NULL) &&
         pf_define(env, exports, "duplicateDescriptor", duplicate_descriptor, NULL) &&
         pf_define(env, exports, "readNow", read_now, NULL) &&
         pf_define(env, exports, "watchReadable", watch_readable, NULL) && pf_define(env, exports, "endWatch", end_watch, NULL);
}
