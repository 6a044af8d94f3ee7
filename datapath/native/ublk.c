// The kernel's ublk: control commands, and the descriptors of a device's requests.
//
// A control command may wait for requests of the very device that this process serves (a new disk's partition table is read, a disk that
// goes waits for what is in flight). The kernel gives a killed server's requests to the next one when its character device is closed, and
// the descriptors' mapping keeps that open while any thread of the process lives. So commands run in a program of their own
// (ublk-control/), which shares no memory with us but the job: it may wait for ever, and our death is noticed at once.
#define _GNU_SOURCE
#include "task.h"
#include "ublk-job.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SYS_PIDFD_OPEN 434
#define PATH_BYTES_MAX 512
#define DESCRIPTOR_BYTES 24

struct job {
  struct pf_task task;
  int result;
  int fd;  // of the memory below
  uint32_t timeout_ms;
  char program[PATH_BYTES_MAX];
  struct pf_ublk_job *shared;
};

// The program finds the job under descriptor PF_UBLK_JOB_FD, and inherits no other.
static int start_program(struct job *job, pid_t *child) {
  posix_spawn_file_actions_t actions;
  char *arguments[] = {job->program, NULL}, *environment[] = {NULL};
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, job->fd, PF_UBLK_JOB_FD);
  int error = posix_spawn(child, job->program, &actions, NULL, arguments, environment);
  posix_spawn_file_actions_destroy(&actions);
  return -error;
}

static int wait_for_program(const struct job *job, pid_t child) {
  int fd = (int)syscall(SYS_PIDFD_OPEN, child, 0);
  if (fd < 0) return -errno;
  struct pollfd ended = {.fd = fd, .events = POLLIN};
  int count = poll(&ended, 1, (int)job->timeout_ms);
  close(fd);
  return count > 0 ? job->shared->error : -ETIMEDOUT;
}

static void free_job(struct pf_task *task) {
  struct job *job = (struct job *)task;
  if (job->shared != NULL) munmap(job->shared, sizeof *job->shared);
  if (job->fd >= 0) close(job->fd);
  free(job);
}

static pid_t run_job(struct pf_task *task) {
  struct job *job = (struct job *)task;
  pid_t child = 0;
  int error = start_program(job, &child);
  job->result = error != 0 ? error : wait_for_program(job, child);
  return error == 0 ? child : 0;
}

// The results and the bytes, or -errno.
static napi_value answer_of(napi_env env, struct pf_task *task) {
  const struct job *job = (struct job *)task;
  const struct pf_ublk_job *shared = job->shared;
  napi_value value;
  void *copy;
  size_t results = shared->command_count * sizeof(int32_t), bytes = (size_t)shared->command_count * shared->stride;
  if (job->result != 0) return pf_number(env, job->result);
  if (napi_create_arraybuffer(env, results + bytes, &copy, &value) != napi_ok) return NULL;
  memcpy(copy, shared->results, results);
  memcpy((uint8_t *)copy + results, shared->bytes, bytes);
  return value;
}

static bool read_text(napi_env env, napi_value value, char *target, size_t size, size_t *length) {
  return napi_get_value_string_utf8(env, value, NULL, 0, length) == napi_ok && *length < size &&
         napi_get_value_string_utf8(env, value, target, size, length) == napi_ok;
}

static bool read_attributes(napi_env env, napi_value list, struct pf_ublk_job *job) {
  uint32_t count;
  if (napi_get_array_length(env, list, &count) != napi_ok) return false;
  for (uint32_t at = 0; at < count; at++) {
    napi_value element;
    size_t length, room = sizeof job->attributes - job->attributes_bytes;
    if (napi_get_element(env, list, at, &element) != napi_ok) return false;
    if (!read_text(env, element, job->attributes + job->attributes_bytes, room, &length)) return false;
    job->attributes_bytes += length + 1;
  }
  return true;
}

static bool read_job(napi_env env, napi_value *arguments, struct pf_ublk_job *job) {
  napi_typedarray_type type;
  size_t count, size, length;
  void *commands, *bytes;
  bool goes_on;
  if (napi_get_typedarray_info(env, arguments[0], &type, &count, &commands, NULL, NULL) != napi_ok) return false;
  if (type != napi_uint32_array || count == 0 || count % 4 != 0 || count > 4 * PF_UBLK_COMMANDS_MAX) return false;
  job->command_count = (uint32_t)(count / 4);
  memcpy(job->commands, commands, count * sizeof(uint32_t));
  if (napi_get_typedarray_info(env, arguments[1], &type, &size, &bytes, NULL, NULL) != napi_ok) return false;
  if (type != napi_uint8_array || size > PF_UBLK_BYTES_MAX || size % job->command_count != 0) return false;
  job->stride = (uint32_t)(size / job->command_count);
  if (size > 0) memcpy(job->bytes, bytes, size);
  for (uint32_t at = 0; at < job->command_count; at++) job->results[at] = -ECANCELED;
  // What a program leaves that is killed.
  job->error = -EIO;
  if (napi_get_value_bool(env, arguments[2], &goes_on) != napi_ok) return false;
  job->goes_on = goes_on;
  return read_text(env, arguments[3], job->claim, sizeof job->claim, &length) && read_attributes(env, arguments[4], job);
}

static struct job *make_job(void) {
  struct job *job = calloc(1, sizeof *job);
  if (job == NULL) return NULL;
  job->task = (struct pf_task){.run = run_job, .answer = answer_of, .destroy = free_job};
  job->fd = memfd_create("ublk job", MFD_CLOEXEC);
  if (job->fd >= 0 && ftruncate(job->fd, sizeof *job->shared) == 0)
    job->shared = mmap(NULL, sizeof *job->shared, PROT_READ | PROT_WRITE, MAP_SHARED, job->fd, 0);
  if (job->shared != NULL && job->shared != MAP_FAILED) return job;
  job->shared = NULL;
  free_job(&job->task);
  return NULL;
}

// ublkControl(program, commands: Uint32Array, bytes: Uint8Array, goesOn, claimPath, attributes: string[], timeoutMs): promise of -errno, or of the
// commands' results (4 bytes each) and their bytes. A command is four words: operation, device, data; `bytes` has as many for each.
static napi_value ublk_control(napi_env env, napi_callback_info info) {
  size_t count = 7, length;
  napi_value arguments[7];
  PF_CHECK(env, napi_get_cb_info(env, info, &count, arguments, NULL, NULL));
  struct job *job = make_job();
  if (job == NULL) PF_CHECK(env, napi_generic_failure);
  bool is_good = count == 7 && read_text(env, arguments[0], job->program, sizeof job->program, &length) &&
                 read_job(env, arguments + 1, job->shared) &&
                 napi_get_value_uint32(env, arguments[6], &job->timeout_ms) == napi_ok;
  if (is_good) return pf_task_start(env, &job->task);
  free_job(&job->task);
  PF_CHECK(env, napi_invalid_arg);
  return NULL;
}

struct device {
  int fd;
  uint8_t *descriptors;
  size_t size;
  napi_ref buffer;
};

static void device_collected(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  free(data);
}

static void nothing(napi_env env, void *data, void *hint) {
  (void)env;
  (void)data;
  (void)hint;
}

// openUblk(path, depth) -> { handle, fd, descriptors } or -errno. Opening waits for nothing.
static napi_value open_ublk(napi_env env, napi_callback_info info) {
  size_t count = 2, length;
  napi_value arguments[2], result, handle, buffer;
  char path[PATH_BYTES_MAX];
  uint32_t depth;
  PF_CHECK(env, napi_get_cb_info(env, info, &count, arguments, NULL, NULL));
  if (!read_text(env, arguments[0], path, sizeof path, &length)) PF_CHECK(env, napi_invalid_arg);
  PF_CHECK(env, napi_get_value_uint32(env, arguments[1], &depth));
  int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return pf_number(env, -errno);
  size_t page = (size_t)sysconf(_SC_PAGESIZE), size = (depth * (size_t)DESCRIPTOR_BYTES + page - 1) / page * page;
  uint8_t *descriptors = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
  struct device *device = calloc(1, sizeof *device);
  if (descriptors == MAP_FAILED || device == NULL) {
    int error = errno;
    if (descriptors != MAP_FAILED) munmap(descriptors, size);
    free(device);
    close(fd);
    return pf_number(env, -error);
  }
  // A child of ours would keep the device open after our death.
  madvise(descriptors, size, MADV_DONTFORK);
  *device = (struct device){.fd = fd, .descriptors = descriptors, .size = size};
  PF_CHECK(env, napi_create_object(env, &result));
  PF_CHECK(env, napi_create_external_arraybuffer(env, descriptors, depth * (size_t)DESCRIPTOR_BYTES, nothing, NULL, &buffer));
  PF_CHECK(env, napi_create_reference(env, buffer, 1, &device->buffer));
  PF_CHECK(env, napi_create_external(env, device, device_collected, NULL, &handle));
  pf_set(env, result, "handle", handle);
  pf_set(env, result, "fd", pf_number(env, fd));
  pf_set(env, result, "descriptors", buffer);
  return result;
}

// closeUblk(handle): the descriptors' memory is gone afterwards. Once.
static napi_value close_ublk(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument, buffer;
  struct device *device;
  PF_CHECK(env, napi_get_cb_info(env, info, &count, &argument, NULL, NULL));
  PF_CHECK(env, napi_get_value_external(env, argument, (void **)&device));
  if (device->fd < 0) return NULL;
  PF_CHECK(env, napi_get_reference_value(env, device->buffer, &buffer));
  PF_CHECK(env, napi_detach_arraybuffer(env, buffer));
  napi_delete_reference(env, device->buffer);
  munmap(device->descriptors, device->size);
  close(device->fd);
  device->fd = -1;
  return NULL;
}

bool pf_register_ublk(napi_env env, napi_value exports) {
  return pf_define(env, exports, "ublkControl", ublk_control, NULL) && pf_define(env, exports, "openUblk", open_ublk, NULL) &&
         pf_define(env, exports, "closeUblk", close_ublk, NULL);
}
