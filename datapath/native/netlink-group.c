// What the kernel announces to a multicast group of generic netlink, brought into the loop.
#define _GNU_SOURCE
#include "pureflash.h"
#include <errno.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#define ANNOUNCEMENT_BYTES_MAX 8192
#define ANNOUNCEMENTS_PER_TURN 64

struct group {
  napi_env env;
  napi_ref on_bytes;
  napi_async_cleanup_hook_handle cleanup;
  uv_poll_t poll;
  int fd;
  bool is_closing;
};

static void hand_over(struct group *group, const uint8_t *bytes, size_t length) {
  napi_env env = group->env;
  napi_handle_scope scope;
  napi_value global, function, buffer, result, exception;
  void *copy;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  napi_status status = napi_get_global(env, &global);
  if (status == napi_ok) status = napi_get_reference_value(env, group->on_bytes, &function);
  if (status == napi_ok) status = napi_create_arraybuffer(env, length, &copy, &buffer);
  if (status == napi_ok) {
    memcpy(copy, bytes, length);
    status = napi_make_callback(env, NULL, global, function, 1, &buffer, &result);
  }
  bool is_thrown = false;
  if (status == napi_pending_exception && napi_is_exception_pending(env, &is_thrown) == napi_ok && is_thrown &&
      napi_get_and_clear_last_exception(env, &exception) == napi_ok)
    napi_fatal_exception(env, exception);
  napi_close_handle_scope(env, scope);
}

static void readable(uv_poll_t *poll, int status, int events) {
  (void)status;
  (void)events;
  struct group *group = poll->data;
  uint8_t bytes[ANNOUNCEMENT_BYTES_MAX];
  for (int turn = 0; turn < ANNOUNCEMENTS_PER_TURN && !group->is_closing; turn++) {
    ssize_t length = recv(group->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    // ENOBUFS: announcements were lost. An empty message says so; the listener looks for itself.
    if (length < 0 && errno != ENOBUFS) return;
    hand_over(group, bytes, length < 0 ? 0 : (size_t)length);
  }
}

static void closed(uv_handle_t *handle) {
  struct group *group = handle->data;
  if (group->cleanup != NULL) napi_remove_async_cleanup_hook(group->cleanup);
  free(group);
}

static void shut(struct group *group) {
  if (group->is_closing) return;
  group->is_closing = true;
  uv_poll_stop(&group->poll);
  close(group->fd);
  uv_close((uv_handle_t *)&group->poll, closed);
}

static void environment_ends(napi_async_cleanup_hook_handle handle, void *data) {
  (void)handle;
  shut(data);
}

static int open_group(uint32_t id) {
  struct sockaddr_nl here = {.nl_family = AF_NETLINK};
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_GENERIC);
  if (fd < 0) return -errno;
  if (bind(fd, (struct sockaddr *)&here, sizeof here) == 0 &&
      setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &id, sizeof id) == 0)
    return fd;
  int error = errno;
  close(fd);
  return -error;
}

// openNetlinkGroup(id, onBytes) -> handle or -errno. onBytes(ArrayBuffer) gets each announcement; an empty one says that some were lost.
// It does not keep the process alive.
static napi_value open_netlink_group(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2], handle;
  uint32_t id;
  uv_loop_t *loop;
  PF_CHECK(env, napi_get_cb_info(env, info, &count, arguments, NULL, NULL));
  PF_CHECK(env, napi_get_value_uint32(env, arguments[0], &id));
  PF_CHECK(env, napi_get_uv_event_loop(env, &loop));
  int fd = open_group(id);
  if (fd < 0) return pf_number(env, fd);
  struct group *group = calloc(1, sizeof *group);
  if (group == NULL || uv_poll_init(loop, &group->poll, fd) != 0) {
    free(group);
    close(fd);
    return pf_number(env, -ENOMEM);
  }
  group->env = env;
  group->fd = fd;
  group->poll.data = group;
  uv_poll_start(&group->poll, UV_READABLE, readable);
  uv_unref((uv_handle_t *)&group->poll);
  PF_CHECK(env, napi_create_reference(env, arguments[1], 1, &group->on_bytes));
  PF_CHECK(env, napi_add_async_cleanup_hook(env, environment_ends, group, &group->cleanup));
  PF_CHECK(env, napi_create_external(env, group, NULL, NULL, &handle));
  return handle;
}

// closeNetlinkGroup(handle): once.
static napi_value close_netlink_group(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument;
  struct group *group;
  PF_CHECK(env, napi_get_cb_info(env, info, &count, &argument, NULL, NULL));
  PF_CHECK(env, napi_get_value_external(env, argument, (void **)&group));
  napi_delete_reference(env, group->on_bytes);
  shut(group);
  return NULL;
}

bool pf_register_netlink_groups(napi_env env, napi_value exports) {
  return pf_define(env, exports, "openNetlinkGroup", open_netlink_group, NULL) &&
         pf_define(env, exports, "closeNetlinkGroup", close_netlink_group, NULL);
}
