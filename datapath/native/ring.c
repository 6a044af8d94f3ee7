// One io_uring per thread, driven from inside Node's event loop.
//
// A uv_prepare hook runs where libuv is about to block, and blocks in the ring instead:
//
//   hook: completions or a wanted turn? -> call TypeScript (it reads CQEs, runs the turn's tasks, writes SQEs)
//         libuv's own descriptor is ready, a timer is due, or there is other work for libuv? -> submit, return to libuv
//         nothing is in flight? -> return, libuv blocks as usual
//         else io_uring_enter: submit, poll for a while where that pays (busy-poll.h), then wait for one completion or
//         until libuv's next timer; again
//
// libuv's epoll descriptor is polled by the ring (one-shot), so HTTP, timers and the thread pool work unchanged.
// Invariant: when the hook returns while operations are in flight, an idle handle is active, so libuv polls without blocking.
// TypeScript never touches the kernel's head and tail words: it works on `control`, and they are published here with the
// right memory order.
#define _GNU_SOURCE
#include "busy-poll.h"
#include "pureflash.h"
#include "uring.h"
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#define POLL_USER_DATA 0xffffffffu
// How often turns may follow one another before libuv has a look.
#define MAX_RERUNS 16
#define CQE_WORDS 4
// So many completions end the sleep even if nobody waits for them.
#define MAX_QUIET 1024
// While polling, others are let onto the processor after so many looks at the ring.
#define LOOKS_PER_YIELD 16

// Word indices are known to world/node/ring.ts.
struct control {
  uint32_t sq_tail;      // TypeScript: next SQE to write
  uint32_t sq_head;      // addon: SQEs taken by the kernel
  uint32_t cq_head;      // TypeScript: next CQE to read
  uint32_t cq_tail;      // addon: CQEs that are there
  uint32_t in_flight;    // TypeScript: operations that keep the loop waiting here
  uint32_t turn_wanted;  // TypeScript: tasks wait for the end of the turn
  uint32_t poll_fired;   // TypeScript: libuv's descriptor became ready
  uint32_t enters;       // addon: io_uring_enter calls, for measurements
  uint32_t turns;        // addon: calls into TypeScript
  uint32_t heeded;       // TypeScript: quiet completions count like others while this is not 0
  uint32_t busy_poll_us; // TypeScript: how long a wait may poll before it sleeps
  uint32_t polled;       // addon: waits that ended while polling, for measurements
  uint32_t reserved[4];
};

struct ring {
  napi_env env;
  napi_ref on_turn;
  napi_async_cleanup_hook_handle cleanup;
  uv_loop_t *loop;
  uv_prepare_t prepare;
  uv_idle_t idle;
  int open_handles;
  int mappings;
  int fd;
  bool is_poll_armed;
  struct pf_busy_poll busy_poll;
  uint32_t *sq_head, *sq_tail, *sq_flags, *cq_head, *cq_tail;
  uint32_t sq_mask, sq_entries, cq_entries;
  struct pf_sqe *sqes;
  const uint32_t *cqe_words;
  void *rings;
  size_t rings_size, sqes_size;
  struct control control;
};

static uint32_t load(const uint32_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
static void store(uint32_t *word, uint32_t value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }

// Whether a completion before `tail` is there that somebody waits for. Quiet ones (the high word of their user data is not 0) wait
// for company, so that a reply that has left does not cost a turn of its own.
static bool has_notable_until(struct ring *ring, uint32_t tail) {
  uint32_t head = ring->control.cq_head;
  if (ring->control.heeded != 0 || tail - head > MAX_QUIET) return tail != head;
  for (; head != tail; head++) {
    if (ring->cqe_words[(size_t)(head & (ring->cq_entries - 1)) * CQE_WORDS + 1] == 0) return true;
  }
  return false;
}

static bool has_notable_completions(struct ring *ring) { return has_notable_until(ring, load(ring->cq_tail)); }

// Submits what TypeScript has written; waits for a completion when wait_ms is not 0 (-1: without limit). 0 or -errno.
static int enter(struct ring *ring, int wait_ms, unsigned flags) {
  struct control *control = &ring->control;
  struct timespec timeout = {.tv_sec = wait_ms / 1000, .tv_nsec = (long)(wait_ms % 1000) * 1000000};
  struct pf_wait_argument argument = {.timespec = wait_ms > 0 ? (uint64_t)(uintptr_t)&timeout : 0};
  store(ring->sq_tail, control->sq_tail);
  uint32_t to_submit = control->sq_tail - load(ring->sq_head);
  // One more than what is there is waited for, so what is there must be quiet: a completion may have come since the caller looked.
  uint32_t tail = load(ring->cq_tail);
  if (wait_ms != 0 && has_notable_until(ring, tail)) {
    wait_ms = 0;
    flags |= PF_ENTER_GETEVENTS;
  }
  if (wait_ms != 0) flags |= PF_ENTER_GETEVENTS | PF_ENTER_EXT_ARG;
  uint32_t wanted = wait_ms != 0 ? tail - control->cq_head + 1 : 0;
  long result = syscall(PF_SYS_ENTER, ring->fd, to_submit, wanted, flags, wait_ms != 0 ? &argument : NULL,
                        wait_ms != 0 ? sizeof argument : 0);
  int error = result < 0 ? errno : 0;
  control->sq_head = load(ring->sq_head);
  control->enters++;
  if (error == EBADF || error == EFAULT || error == EINVAL || error == ENXIO || error == EBADFD || error == EEXIST) {
    napi_fatal_error("io_uring_enter", NAPI_AUTO_LENGTH, strerror(error), NAPI_AUTO_LENGTH);
  }
  return -error;
}

static bool has_completions(struct ring *ring) { return load(ring->cq_tail) != ring->control.cq_head; }

// Lets others onto the processor. Whether it took so long that they need it more than we do.
static bool is_crowded(struct ring *ring, uint64_t now) {
  sched_yield();
  uint64_t back = uv_hrtime();
  if (back - now <= PF_POLL_CROWDED_NS) return false;
  pf_busy_poll_was_crowded(&ring->busy_poll, back);
  return true;
}

// Submits, then looks for a completion that somebody waits for until the budget is used up. Whether one is there.
static bool poll_ring(struct ring *ring, uint64_t start, uint64_t budget) {
  if (enter(ring, 0, PF_ENTER_GETEVENTS) != 0) return false;
  for (uint32_t looks = 1; !has_notable_completions(ring); looks++) {
    // A kernel that defers its work has no completion for us until we enter it.
    if ((load(ring->sq_flags) & (PF_SQ_TASKRUN | PF_SQ_CQ_OVERFLOW)) != 0) {
      if (enter(ring, 0, PF_ENTER_GETEVENTS) != 0) return false;
      continue;
    }
    uint64_t now = uv_hrtime();
    if (now - start > budget || (looks % LOOKS_PER_YIELD == 0 && is_crowded(ring, now))) return false;
  }
  ring->control.polled++;
  return true;
}

// Until a completion is there, or for wait_ms (-1: without limit). 0 or -errno.
static int wait_for_completion(struct ring *ring, int wait_ms) {
  struct pf_busy_poll *busy_poll = &ring->busy_poll;
  busy_poll->limit_ns = (uint64_t)ring->control.busy_poll_us * 1000;
  if (busy_poll->limit_ns == 0) return enter(ring, wait_ms, 0);
  uint64_t start = uv_hrtime(), budget = pf_busy_poll_budget(busy_poll, start);
  if (budget > 0 && poll_ring(ring, start, budget)) return 0;
  int error = enter(ring, wait_ms, 0);
  pf_busy_poll_slept(busy_poll, uv_hrtime() - start);
  return error;
}

// Calls TypeScript; false when the environment is going away.
static bool run_turn(struct ring *ring) {
  napi_env env = ring->env;
  napi_handle_scope scope;
  napi_value global, function, result, exception;
  struct control *control = &ring->control;
  control->cq_tail = load(ring->cq_tail);
  control->turns++;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return false;
  napi_status status = napi_get_global(env, &global);
  if (status == napi_ok) status = napi_get_reference_value(env, ring->on_turn, &function);
  if (status == napi_ok) status = napi_make_callback(env, NULL, global, function, 0, NULL, &result);
  bool is_thrown = false;
  if (status == napi_pending_exception && napi_is_exception_pending(env, &is_thrown) == napi_ok && is_thrown &&
      napi_get_and_clear_last_exception(env, &exception) == napi_ok) {
    napi_fatal_exception(env, exception);
    status = napi_ok;
  }
  napi_close_handle_scope(env, scope);
  store(ring->cq_head, control->cq_head);
  return status == napi_ok;
}

static void arm_poll(struct ring *ring) {
  struct control *control = &ring->control;
  if (control->sq_tail - load(ring->sq_head) >= ring->sq_entries) return;
  struct pf_sqe *sqe = &ring->sqes[control->sq_tail & ring->sq_mask];
  memset(sqe, 0, sizeof *sqe);
  sqe->opcode = PF_OP_POLL_ADD;
  sqe->fd = uv_backend_fd(ring->loop);
  sqe->operation_flags = POLLIN;
  sqe->user_data = POLL_USER_DATA;
  control->sq_tail++;
  ring->is_poll_armed = true;
}

static void nothing(uv_idle_t *handle) { (void)handle; }

// Gives libuv a pass that does not block.
static void yield_to_libuv(struct ring *ring) { uv_idle_start(&ring->idle, nothing); }

static void hook(uv_prepare_t *handle) {
  struct ring *ring = handle->data;
  struct control *control = &ring->control;
  bool is_reaped = false;
  int reruns = 0;
  uv_idle_stop(&ring->idle);
  while (ring->fd >= 0) {
    if (has_notable_completions(ring) || control->turn_wanted != 0) {
      if (!run_turn(ring)) break;
      if (ring->fd < 0) break;
      // Promises that were settled by this turn may have asked for another.
      if (control->turn_wanted != 0 && ++reruns < MAX_RERUNS) continue;
    }
    if (control->in_flight == 0 && control->turn_wanted == 0) {
      if (control->sq_tail != load(ring->sq_head)) enter(ring, 0, 0);
      if (control->poll_fired != 0) ring->is_poll_armed = false;
      control->poll_fired = 0;
      break;
    }
    uv_update_time(ring->loop);
    int timeout_ms = uv_backend_timeout(ring->loop);
    bool is_libuv_ready = control->poll_fired != 0;
    if (is_libuv_ready) {
      control->poll_fired = 0;
      ring->is_poll_armed = false;
    }
    if (is_libuv_ready || timeout_ms == 0 || control->turn_wanted != 0) {
      enter(ring, 0, PF_ENTER_GETEVENTS);
      if (!is_reaped && has_completions(ring)) {
        is_reaped = true;
        if (!run_turn(ring)) break;
        if (ring->fd < 0) break;
        enter(ring, 0, 0);
      }
      yield_to_libuv(ring);
      break;
    }
    reruns = 0;
    if (!ring->is_poll_armed) {
      if (control->sq_tail - load(ring->sq_head) >= ring->sq_entries) enter(ring, 0, 0);
      arm_poll(ring);
    }
    int error = wait_for_completion(ring, timeout_ms);
    // A signal, or no kernel memory for a request: libuv has a look, then we try again.
    if (error != 0 && error != -ETIME && !has_notable_completions(ring)) {
      yield_to_libuv(ring);
      break;
    }
  }
}

static void destroy_when_unused(struct ring *ring) {
  if (ring->open_handles > 0 || ring->mappings > 0) return;
  munmap(ring->sqes, ring->sqes_size);
  munmap(ring->rings, ring->rings_size);
  free(ring);
}

static void handle_closed(uv_handle_t *handle) {
  struct ring *ring = handle->data;
  ring->open_handles--;
  if (ring->open_handles == 0 && ring->cleanup != NULL) {
    napi_remove_async_cleanup_hook(ring->cleanup);
    ring->cleanup = NULL;
  }
  destroy_when_unused(ring);
}

static void shut(struct ring *ring) {
  if (ring->fd < 0) return;
  close(ring->fd);
  ring->fd = -1;
  uv_close((uv_handle_t *)&ring->prepare, handle_closed);
  uv_close((uv_handle_t *)&ring->idle, handle_closed);
}

static void environment_ends(napi_async_cleanup_hook_handle handle, void *data) {
  (void)handle;
  shut(data);
}

static void mapping_collected(napi_env env, void *data, void *hint) {
  (void)env;
  (void)data;
  struct ring *ring = hint;
  ring->mappings--;
  destroy_when_unused(ring);
}

// 0 or -errno; flags that the kernel does not know are left out from the least wanted on.
static int set_up(struct ring *ring, uint32_t sq_entries, uint32_t cq_entries, struct pf_ring_params *params) {
  static const uint32_t wishes[] = {PF_SETUP_SINGLE_ISSUER | PF_SETUP_DEFER_TASKRUN | PF_SETUP_TASKRUN_FLAG,
                                    PF_SETUP_COOP_TASKRUN | PF_SETUP_TASKRUN_FLAG, 0};
  for (size_t at = 0; at < sizeof wishes / sizeof *wishes; at++) {
    memset(params, 0, sizeof *params);
    params->flags = PF_SETUP_CLAMP | PF_SETUP_CQSIZE | wishes[at];
    params->cq_entries = cq_entries;
    ring->fd = (int)syscall(PF_SYS_SETUP, sq_entries, params);
    if (ring->fd >= 0) break;
    if (errno != EINVAL) return -errno;
  }
  if (ring->fd < 0) return -EINVAL;
  const uint32_t needed = PF_FEAT_SINGLE_MMAP | PF_FEAT_NODROP | PF_FEAT_EXT_ARG;
  return (params->features & needed) == needed ? 0 : -ENOSYS;
}

static int map_rings(struct ring *ring, const struct pf_ring_params *params) {
  size_t sq_size = params->sq.array + params->sq_entries * sizeof(uint32_t);
  size_t cq_size = params->cq.cqes + (size_t)params->cq_entries * 16;
  ring->rings_size = sq_size > cq_size ? sq_size : cq_size;
  ring->sqes_size = params->sq_entries * sizeof(struct pf_sqe);
  const int protection = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_POPULATE;
  ring->rings = mmap(NULL, ring->rings_size, protection, flags, ring->fd, PF_OFFSET_SQ_RING);
  if (ring->rings == MAP_FAILED) return -errno;
  ring->sqes = mmap(NULL, ring->sqes_size, protection, flags, ring->fd, PF_OFFSET_SQES);
  if (ring->sqes == MAP_FAILED) {
    int error = errno;
    munmap(ring->rings, ring->rings_size);
    return -error;
  }
  uint8_t *base = ring->rings;
  ring->sq_head = (uint32_t *)(base + params->sq.head);
  ring->sq_tail = (uint32_t *)(base + params->sq.tail);
  ring->sq_flags = (uint32_t *)(base + params->sq.flags);
  ring->cq_head = (uint32_t *)(base + params->cq.head);
  ring->cq_tail = (uint32_t *)(base + params->cq.tail);
  ring->sq_mask = params->sq_entries - 1;
  ring->sq_entries = params->sq_entries;
  ring->cq_entries = params->cq_entries;
  ring->cqe_words = (const uint32_t *)(base + params->cq.cqes);
  uint32_t *array = (uint32_t *)(base + params->sq.array);
  for (uint32_t at = 0; at < params->sq_entries; at++) array[at] = at;
  return 0;
}

static bool expose(napi_env env, napi_value object, const char *name, void *data, size_t size, struct ring *ring) {
  napi_value buffer;
  if (napi_create_external_arraybuffer(env, data, size, mapping_collected, ring, &buffer) != napi_ok) return false;
  ring->mappings++;
  return pf_set(env, object, name, buffer);
}

// openRing(sqEntries, cqEntries, onTurn) -> { handle, fd, mode, sqEntries, cqEntries, control, sqes, cqes } or -errno.
static napi_value open_ring(napi_env env, napi_callback_info info) {
  size_t count = 3;
  napi_value arguments[3], result, handle, mode;
  uint32_t sq_entries, cq_entries;
  struct pf_ring_params params;
  PF_CHECK(env, napi_get_cb_info(env, info, &count, arguments, NULL, NULL));
  PF_CHECK(env, napi_get_value_uint32(env, arguments[0], &sq_entries));
  PF_CHECK(env, napi_get_value_uint32(env, arguments[1], &cq_entries));
  struct ring *ring = calloc(1, sizeof *ring);
  if (ring == NULL) return pf_number(env, -ENOMEM);
  ring->env = env;
  int error = set_up(ring, sq_entries, cq_entries, &params);
  if (error == 0) error = map_rings(ring, &params);
  if (error != 0) {
    if (ring->fd >= 0) close(ring->fd);
    free(ring);
    return pf_number(env, error);
  }
  PF_CHECK(env, napi_create_reference(env, arguments[2], 1, &ring->on_turn));
  PF_CHECK(env, napi_get_uv_event_loop(env, &ring->loop));
  uv_prepare_init(ring->loop, &ring->prepare);
  uv_idle_init(ring->loop, &ring->idle);
  ring->prepare.data = ring->idle.data = ring;
  ring->open_handles = 2;
  uv_prepare_start(&ring->prepare, hook);
  uv_unref((uv_handle_t *)&ring->prepare);
  uv_unref((uv_handle_t *)&ring->idle);
  PF_CHECK(env, napi_add_async_cleanup_hook(env, environment_ends, ring, &ring->cleanup));
  PF_CHECK(env, napi_create_object(env, &result));
  PF_CHECK(env, napi_create_external(env, ring, NULL, NULL, &handle));
  const char *name = params.flags & PF_SETUP_DEFER_TASKRUN ? "defer" : params.flags & PF_SETUP_COOP_TASKRUN ? "coop" : "plain";
  PF_CHECK(env, napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &mode));
  pf_set(env, result, "handle", handle);
  pf_set(env, result, "mode", mode);
  pf_set(env, result, "sqEntries", pf_number(env, params.sq_entries));
  pf_set(env, result, "cqEntries", pf_number(env, params.cq_entries));
  expose(env, result, "control", &ring->control, sizeof ring->control, ring);
  expose(env, result, "sqes", ring->sqes, ring->sqes_size, ring);
  expose(env, result, "cqes", (uint8_t *)ring->rings + params.cq.cqes, (size_t)params.cq_entries * 16, ring);
  return result;
}

static struct ring *ring_argument(napi_env env, napi_callback_info info, size_t count, napi_value *arguments) {
  struct ring *ring = NULL;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok) return NULL;
  if (napi_get_value_external(env, arguments[0], (void **)&ring) != napi_ok) {
    napi_throw_type_error(env, NULL, "a ring's handle is wanted");
    return NULL;
  }
  return ring;
}

// submitRing(handle): for a full submission queue in the middle of a turn. 0 or -errno.
static napi_value submit_ring(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  struct ring *ring = ring_argument(env, info, 1, arguments);
  return ring == NULL ? NULL : pf_number(env, ring->fd < 0 ? -EBADF : enter(ring, 0, 0));
}

// holdLoop(handle, isHeld): whether the ring keeps the process alive.
static napi_value hold_loop(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  bool is_held;
  struct ring *ring = ring_argument(env, info, 2, arguments);
  if (ring == NULL) return NULL;
  PF_CHECK(env, napi_get_value_bool(env, arguments[1], &is_held));
  if (ring->fd < 0) return NULL;
  if (is_held) uv_ref((uv_handle_t *)&ring->prepare);
  else uv_unref((uv_handle_t *)&ring->prepare);
  return NULL;
}

// registerBuffers(handle, addressLow, addressHigh, entries, group): a ring of provided buffers. 0 or -errno.
static napi_value register_buffers(napi_env env, napi_callback_info info) {
  napi_value arguments[5];
  uint32_t numbers[4];
  struct ring *ring = ring_argument(env, info, 5, arguments);
  if (ring == NULL) return NULL;
  for (int at = 0; at < 4; at++) PF_CHECK(env, napi_get_value_uint32(env, arguments[at + 1], &numbers[at]));
  struct pf_buffer_ring request = {.address = (uint64_t)numbers[1] << 32 | numbers[0], .entries = numbers[2], .group = (uint16_t)numbers[3]};
  long result = syscall(PF_SYS_REGISTER, ring->fd, PF_REGISTER_BUFFER_RING, &request, 1);
  return pf_number(env, result < 0 ? -errno : 0);
}

// unregisterBuffers(handle, group). 0 or -errno.
static napi_value unregister_buffers(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  uint32_t group;
  struct ring *ring = ring_argument(env, info, 2, arguments);
  if (ring == NULL) return NULL;
  PF_CHECK(env, napi_get_value_uint32(env, arguments[1], &group));
  struct pf_buffer_ring request = {.group = (uint16_t)group};
  long result = syscall(PF_SYS_REGISTER, ring->fd, PF_UNREGISTER_BUFFER_RING, &request, 1);
  return pf_number(env, result < 0 ? -errno : 0);
}

static napi_value close_ring(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  struct ring *ring = ring_argument(env, info, 1, arguments);
  if (ring == NULL) return NULL;
  shut(ring);
  napi_delete_reference(env, ring->on_turn);
  return NULL;
}

bool pf_register_ring(napi_env env, napi_value exports) {
  return pf_define(env, exports, "openRing", open_ring, NULL) && pf_define(env, exports, "submitRing", submit_ring, NULL) &&
         pf_define(env, exports, "holdLoop", hold_loop, NULL) &&
         pf_define(env, exports, "registerBuffers", register_buffers, NULL) &&
         pf_define(env, exports, "unregisterBuffers", unregister_buffers, NULL) &&
         pf_define(env, exports, "closeRing", close_ring, NULL);
}
