// Sockets and locks: the calls that never wait. Accepting, connecting, receiving and sending go through the ring, so the
// descriptors stay in blocking mode (on a non-blocking one the ring would answer EAGAIN instead of waiting).
#define _GNU_SOURCE
#include "pureflash.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define UNIX_SEND_BUFFER_BYTES (2 * 1024 * 1024)
#define LISTEN_BACKLOG 1024

union any_address {
  struct sockaddr generic;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
  struct sockaddr_un local;
};

// The length of the address of (numeric host, port), or of a unix path when port is -1; 0 when it is neither.
static socklen_t parse_address(const char *text, int port, union any_address *address) {
  memset(address, 0, sizeof *address);
  if (port < 0) {
    if (strlen(text) >= sizeof address->local.sun_path) return 0;
    address->local.sun_family = AF_UNIX;
    strcpy(address->local.sun_path, text);
    return sizeof address->local;
  }
  if (inet_pton(AF_INET, text, &address->v4.sin_addr) == 1) {
    address->v4.sin_family = AF_INET;
    address->v4.sin_port = htons((uint16_t)port);
    return sizeof address->v4;
  }
  if (inet_pton(AF_INET6, text, &address->v6.sin6_addr) == 1) {
    address->v6.sin6_family = AF_INET6;
    address->v6.sin6_port = htons((uint16_t)port);
    return sizeof address->v6;
  }
  return 0;
}

static bool read_address(napi_env env, napi_value *arguments, union any_address *address, socklen_t *length) {
  char text[256];
  size_t size;
  int32_t port;
  if (napi_get_value_string_utf8(env, arguments[0], text, sizeof text, &size) != napi_ok) return false;
  if (napi_get_value_int32(env, arguments[1], &port) != napi_ok) return false;
  *length = parse_address(text, port, address);
  return true;
}

static void tune(int fd) {
  int one = 1, size = UNIX_SEND_BUFFER_BYTES, domain = 0;
  socklen_t length = sizeof domain;
  getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length);
  if (domain != AF_UNIX) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  } else if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) != 0) {
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  }
}

// openSocket(host | path, port | -1) -> { fd, address: Uint8Array of the sockaddr } or -errno.
static napi_value open_socket(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2], result, bytes;
  union any_address address;
  socklen_t length;
  void *copy;
  PF_CHECK(env, napi_get_cb_info(env, info, &count, arguments, NULL, NULL));
  if (!read_address(env, arguments, &address, &length)) PF_CHECK(env, napi_invalid_arg);
  if (length == 0) return pf_number(env, -EINVAL);
  int fd = socket(address.generic.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return pf_number(env, -errno);
  tune(fd);
  PF_CHECK(env, napi_create_object(env, &result));
  PF_CHECK(env, napi_create_arraybuffer(env, length, &copy, &bytes));
  memcpy(copy, &address, length);
  pf_set(env, result, "fd", pf_number(env, fd));
  pf_set(env, result, "address", bytes);
  return result;
}

// listenSocket(host | path, port | -1) -> fd or -errno.
static napi_value listen_socket(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2];
  union any_address address;
  socklen_t length;
  int one = 1;
  PF_CHECK(env, napi_get_cb_info(env, info, &count, arguments, NULL, NULL));
  if (!read_address(env, arguments, &address, &length)) PF_CHECK(env, napi_invalid_arg);
  if (length == 0) return pf_number(env, -EINVAL);
  int fd = socket(address.generic.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return pf_number(env, -errno);
  if (address.generic.sa_family != AF_UNIX) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, &address.generic, length) != 0 || listen(fd, LISTEN_BACKLOG) != 0) {
    int error = errno;
    close(fd);
    return pf_number(env, -error);
  }
  return pf_number(env, fd);
}

// pairSockets() -> [fd, fd]: a connected pair of unix streams; or -errno.
static napi_value pair_sockets(napi_env env, napi_callback_info info) {
  (void)info;
  int fds[2];
  napi_value result;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) return pf_number(env, -errno);
  tune(fds[0]);
  tune(fds[1]);
  PF_CHECK(env, napi_create_array_with_length(env, 2, &result));
  for (uint32_t at = 0; at < 2; at++) PF_CHECK(env, napi_set_element(env, result, at, pf_number(env, fds[at])));
  return result;
}

static napi_value tune_socket(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument;
  int32_t fd;
  PF_CHECK(env, napi_get_cb_info(env, info, &count, &argument, NULL, NULL));
  PF_CHECK(env, napi_get_value_int32(env, argument, &fd));
  tune(fd);
  return NULL;
}

// socketName(fd, isPeer) -> { host, port }; an empty host for unix sockets and unconnected ones.
static napi_value socket_name(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2], result, host;
  int32_t fd;
  bool is_peer;
  char text[INET6_ADDRSTRLEN] = "";
  int port = 0;
  union any_address address;
  socklen_t length = sizeof address;
  PF_CHECK(env, napi_get_cb_info(env, info, &count, arguments, NULL, NULL));
  PF_CHECK(env, napi_get_value_int32(env, arguments[0], &fd));
  PF_CHECK(env, napi_get_value_bool(env, arguments[1], &is_peer));
  memset(&address, 0, sizeof address);
  if ((is_peer ? getpeername : getsockname)(fd, &address.generic, &length) == 0) {
    if (address.generic.sa_family == AF_INET) {
      inet_ntop(AF_INET, &address.v4.sin_addr, text, sizeof text);
      port = ntohs(address.v4.sin_port);
    } else if (address.generic.sa_family == AF_INET6) {
      inet_ntop(AF_INET6, &address.v6.sin6_addr, text, sizeof text);
      port = ntohs(address.v6.sin6_port);
    }
  }
  PF_CHECK(env, napi_create_object(env, &result));
  PF_CHECK(env, napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &host));
  pf_set(env, result, "host", host);
  pf_set(env, result, "port", pf_number(env, port));
  return result;
}

// shutdownSocket(fd, how): 0 ends receiving (a peer of a unix socket cannot send any more), 1 sending, 2 both (pending operations
// then complete). 0 or -errno.
static napi_value shutdown_socket(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2];
  int32_t fd, how;
  PF_CHECK(env, napi_get_cb_info(env, info, &count, arguments, NULL, NULL));
  PF_CHECK(env, napi_get_value_int32(env, arguments[0], &fd));
  PF_CHECK(env, napi_get_value_int32(env, arguments[1], &how));
  return pf_number(env, shutdown(fd, how) == 0 ? 0 : -errno);
}

static napi_value close_descriptor(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument;
  int32_t fd;
  PF_CHECK(env, napi_get_cb_info(env, info, &count, &argument, NULL, NULL));
  PF_CHECK(env, napi_get_value_int32(env, argument, &fd));
  return pf_number(env, close(fd) == 0 ? 0 : -errno);
}

// tryFlock(fd) -> true when the exclusive lock was taken.
static napi_value try_flock(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument, result;
  int32_t fd;
  PF_CHECK(env, napi_get_cb_info(env, info, &count, &argument, NULL, NULL));
  PF_CHECK(env, napi_get_value_int32(env, argument, &fd));
  PF_CHECK(env, napi_get_boolean(env, flock(fd, LOCK_EX | LOCK_NB) == 0, &result));
  return result;
}

bool pf_register_sockets(napi_env env, napi_value exports) {
  return pf_define(env, exports, "openSocket", open_socket, NULL) &&
         pf_define(env, exports, "listenSocket", listen_socket, NULL) &&
         pf_define(env, exports, "pairSockets", pair_sockets, NULL) &&
         pf_define(env, exports, "tuneSocket", tune_socket, NULL) &&
         pf_define(env, exports, "socketName", socket_name, NULL) &&
         pf_define(env, exports, "shutdownSocket", shutdown_socket, NULL) &&
         pf_define(env, exports, "closeDescriptor", close_descriptor, NULL) &&
         pf_define(env, exports, "tryFlock", try_flock, NULL);
}
