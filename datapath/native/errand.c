// Calls that may wait in the kernel for as long as a device does, each a task (task.h): one message to generic netlink, one write to a
// file in /sys.
//
// The call's thread leaves the process's table of descriptors and keeps in its own copy only those that its message hands over. So a thread
// that is stuck in the kernel never keeps a socket of a killed process open: the kernel sees the peer's end at once, and the next
// process can take the device over. Signals stay with the other threads, because their handlers use descriptors; and the loop is
// woken by the task's own thread, which waits for that one and ends at once when the process is killed.
#define _GNU_SOURCE
#include "task.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#define SYS_CLOSE_RANGE 436
#define DESCRIPTORS_MAX 16
#define REQUEST_BYTES_MAX 4096
#define ANSWER_BYTES_MAX (1024 * 1024)
#define PATH_BYTES_MAX 512
#define TEXT_BYTES_MAX 256

struct errand {
  struct pf_task task;
  int (*call)(struct errand *);
  int result;  // 0 or -errno
  uint32_t timeout_ms;
  uint32_t descriptor_count;
  int32_t descriptors[DESCRIPTORS_MAX];  // ascending
  char path[PATH_BYTES_MAX];
  char text[TEXT_BYTES_MAX];
  size_t request_bytes, answer_bytes;
  uint8_t request[REQUEST_BYTES_MAX];
  uint8_t *answer;
};

// False where the process's table stays in use.
static bool leave_descriptors(struct errand *errand) {
  if (unshare(CLONE_FILES) != 0) return false;
  unsigned next = 0;
  for (uint32_t at = 0; at < errand->descriptor_count; at++) {
    unsigned kept = (unsigned)errand->descriptors[at];
    if (kept > next) syscall(SYS_CLOSE_RANGE, next, kept - 1, 0);
    next = kept + 1;
  }
  syscall(SYS_CLOSE_RANGE, next, ~0u, 0);
  return true;
}

// True when `bytes` hold the acknowledgement, or the error, of our request: always the last message.
static bool is_acknowledged(const uint8_t *bytes, size_t length, uint32_t sequence) {
  struct nlmsghdr head;
  for (size_t at = 0; at + sizeof head <= length; at += NLMSG_ALIGN(head.nlmsg_len)) {
    memcpy(&head, bytes + at, sizeof head);
    if (head.nlmsg_len < sizeof head) return true;
    if (head.nlmsg_type == NLMSG_ERROR && head.nlmsg_seq == sequence) return true;
  }
  return false;
}

static int receive_answer(struct errand *errand, int fd, uint32_t sequence) {
  errand->answer = malloc(ANSWER_BYTES_MAX);
  if (errand->answer == NULL) return -ENOMEM;
  for (;;) {
    size_t room = ANSWER_BYTES_MAX - errand->answer_bytes;
    ssize_t length = recv(fd, errand->answer + errand->answer_bytes, room, MSG_TRUNC);
    if (length < 0 && errno == EINTR) continue;
    if (length < 0) return errno == EAGAIN ? -ETIMEDOUT : -errno;
    if ((size_t)length > room) return -EMSGSIZE;
    size_t start = errand->answer_bytes;
    errand->answer_bytes += (size_t)length;
    if (is_acknowledged(errand->answer + start, (size_t)length, sequence)) return 0;
  }
}

static int exchange_on(struct errand *errand, int fd) {
  int one = 1;
  struct timeval patience = {.tv_sec = errand->timeout_ms / 1000, .tv_usec = errand->timeout_ms % 1000 * 1000};
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  struct nlmsghdr head;
  memcpy(&head, errand->request, sizeof head);
  setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof one);
  setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof one);
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0) return -errno;
  const struct sockaddr *address = (const struct sockaddr *)&kernel;
  if (sendto(fd, errand->request, errand->request_bytes, 0, address, sizeof kernel) < 0) return -errno;
  return receive_answer(errand, fd, head.nlmsg_seq);
}

// The claim on a device, which nobody else may have mounted or claimed, lasts until the answer is there.
static int exchange(struct errand *errand) {
  int claim = -1;
  if (errand->path[0] != 0) {
    claim = open(errand->path, O_RDONLY | O_EXCL | O_CLOEXEC);
    if (claim < 0) return -errno;
  }
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
  int result = fd < 0 ? -errno : exchange_on(errand, fd);
  if (fd >= 0) close(fd);
  if (claim >= 0) close(claim);
  return result;
}

static int write_text(struct errand *errand) {
  int fd = open(errand->path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  size_t length = strlen(errand->text);
  ssize_t written = write(fd, errand->text, length);
  int result = written < 0 ? -errno : (size_t)written == length ? 0 : -EIO;
  close(fd);
  return result;
}

static void free_errand(struct pf_task *task) {
  struct errand *errand = (struct errand *)task;
  free(errand->answer);
  free(errand);
}

static void *run_apart(void *data) {
  struct errand *errand = data;
  bool is_apart = leave_descriptors(errand);
  errand->result = errand->call(errand);
  // Before the thread counts as ended: what the kernel did not keep is closed when the answer is there.
  if (is_apart) syscall(SYS_CLOSE_RANGE, 0, ~0u, 0);
  return NULL;
}

static pid_t run_errand(struct pf_task *task) {
  struct errand *errand = (struct errand *)task;
  pthread_t thread;
  int error = pthread_create(&thread, NULL, run_apart, errand);
  if (error != 0) errand->result = -error;
  else pthread_join(thread, NULL);
  return 0;
}

// The answer's bytes, or a number: 0 where there are none, or -errno.
static napi_value answer_of(napi_env env, struct pf_task *task) {
  const struct errand *errand = (struct errand *)task;
  napi_value value;
  void *copy;
  if (errand->result != 0 || errand->answer == NULL) return pf_number(env, errand->result);
  if (napi_create_arraybuffer(env, errand->answer_bytes, &copy, &value) != napi_ok) return NULL;
  memcpy(copy, errand->answer, errand->answer_bytes);
  return value;
}

static struct errand *make_errand(int (*call)(struct errand *)) {
  struct errand *errand = calloc(1, sizeof *errand);
  if (errand == NULL) return NULL;
  errand->task = (struct pf_task){.run = run_errand, .answer = answer_of, .destroy = free_errand};
  errand->call = call;
  return errand;
}

static int compare_descriptors(const void *left, const void *right) { return *(const int32_t *)left - *(const int32_t *)right; }

static bool read_descriptors(napi_env env, napi_value list, struct errand *errand) {
  if (napi_get_array_length(env, list, &errand->descriptor_count) != napi_ok) return false;
  if (errand->descriptor_count > DESCRIPTORS_MAX) return false;
  for (uint32_t at = 0; at < errand->descriptor_count; at++) {
    napi_value element;
    if (napi_get_element(env, list, at, &element) != napi_ok) return false;
    if (napi_get_value_int32(env, element, &errand->descriptors[at]) != napi_ok || errand->descriptors[at] < 0) return false;
  }
  qsort(errand->descriptors, errand->descriptor_count, sizeof *errand->descriptors, compare_descriptors);
  return true;
}

// False when the text is too long to be kept whole.
static bool read_text(napi_env env, napi_value value, char *target, size_t size) {
  size_t length;
  return napi_get_value_string_utf8(env, value, NULL, 0, &length) == napi_ok && length < size &&
         napi_get_value_string_utf8(env, value, target, size, &length) == napi_ok;
}

// exchangeNetlink(request: Uint8Array, descriptors: number[], claimPath: string, timeoutMs): promise of the answer's bytes or -errno.
// With a path the device there is claimed first, and until the answer has come; where somebody else has it nothing is sent.
static napi_value exchange_netlink(napi_env env, napi_callback_info info) {
  size_t count = 4, size = 0;
  napi_value arguments[4];
  napi_typedarray_type type = napi_int8_array;
  void *bytes = NULL;
  PF_CHECK(env, napi_get_cb_info(env, info, &count, arguments, NULL, NULL));
  PF_CHECK(env, napi_get_typedarray_info(env, arguments[0], &type, &size, &bytes, NULL, NULL));
  struct errand *errand = make_errand(exchange);
  if (errand == NULL) PF_CHECK(env, napi_generic_failure);
  if (type != napi_uint8_array || size < sizeof(struct nlmsghdr) || size > sizeof errand->request ||
      !read_descriptors(env, arguments[1], errand) || !read_text(env, arguments[2], errand->path, sizeof errand->path) ||
      napi_get_value_uint32(env, arguments[3], &errand->timeout_ms) != napi_ok) {
    free_errand(&errand->task);
    PF_CHECK(env, napi_invalid_arg);
  }
  memcpy(errand->request, bytes, size);
  errand->request_bytes = size;
  return pf_task_start(env, &errand->task);
}

// writeAttribute(path, text): promise of 0 or -errno. One write to a file that is there.
static napi_value write_attribute(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2];
  PF_CHECK(env, napi_get_cb_info(env, info, &count, arguments, NULL, NULL));
  struct errand *errand = make_errand(write_text);
  if (errand == NULL) PF_CHECK(env, napi_generic_failure);
  if (!read_text(env, arguments[0], errand->path, sizeof errand->path) ||
      !read_text(env, arguments[1], errand->text, sizeof errand->text)) {
    free_errand(&errand->task);
    PF_CHECK(env, napi_invalid_arg);
  }
  return pf_task_start(env, &errand->task);
}

bool pf_register_errands(napi_env env, napi_value exports) {
  return pf_define(env, exports, "exchangeNetlink", exchange_netlink, NULL) &&
         pf_define(env, exports, "writeAttribute", write_attribute, NULL);
}
