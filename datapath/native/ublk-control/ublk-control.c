// A program that does one job of ublk's control commands and ends: pureflash-ublk, with the job's memory as descriptor 3. Started by ublk.c,
// which says why. It may wait in the kernel for as long as a device does.
#define _GNU_SOURCE
#include "../ublk-job.h"
#include "../uring.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SYS_CLOSE_RANGE 436
#define SETUP_SQE128 (1u << 10)
#define OP_URING_CMD 46

// The kernel's ublksrv_ctrl_cmd.
struct control_command {
  uint32_t device;
  uint16_t queue, length;
  uint64_t address, data;
  uint16_t path_length, padding;
  uint32_t reserved;
};

struct wide_sqe {
  struct pf_sqe head;
  uint8_t more[64];
};

_Static_assert(sizeof(struct control_command) == 32, "ublksrv_ctrl_cmd");
_Static_assert(sizeof(struct wide_sqe) == 128, "io_uring_sqe with IORING_SETUP_SQE128");

// A ring of two entries: ublk takes its control commands in no other way.
struct small_ring {
  int fd;
  uint8_t *rings;
  struct wide_sqe *sqes;
  struct pf_ring_params params;
};

static int open_small_ring(struct small_ring *ring) {
  memset(&ring->params, 0, sizeof ring->params);
  ring->params.flags = SETUP_SQE128;
  ring->fd = (int)syscall(PF_SYS_SETUP, 2, &ring->params);
  if (ring->fd < 0) return -errno;
  size_t size = ring->params.cq.cqes + ring->params.cq_entries * 16ul;
  size_t sq_size = ring->params.sq.array + ring->params.sq_entries * sizeof(uint32_t);
  if (sq_size > size) size = sq_size;
  ring->rings = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, PF_OFFSET_SQ_RING);
  size_t sqes_size = ring->params.sq_entries * sizeof(struct wide_sqe);
  ring->sqes = mmap(NULL, sqes_size, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, PF_OFFSET_SQES);
  return ring->rings == MAP_FAILED || (void *)ring->sqes == MAP_FAILED ? -ENOMEM : 0;
}

static int run_command(struct small_ring *ring, int control, const struct pf_ublk_command *command, void *bytes, uint32_t length) {
  uint32_t *sq_tail = (uint32_t *)(ring->rings + ring->params.sq.tail);
  uint32_t *cq_head = (uint32_t *)(ring->rings + ring->params.cq.head);
  const uint32_t *cq_tail = (const uint32_t *)(ring->rings + ring->params.cq.tail);
  uint32_t at = *sq_tail & (ring->params.sq_entries - 1);
  struct wide_sqe *sqe = &ring->sqes[at];
  struct control_command body = {
      .device = command->device,
      .queue = 0xffff,
      .length = (uint16_t)length,
      .address = length == 0 ? 0 : (uint64_t)(uintptr_t)bytes,
      .data = (uint64_t)command->data_high << 32 | command->data_low,
  };
  memset(sqe, 0, sizeof *sqe);
  sqe->head.opcode = OP_URING_CMD;
  sqe->head.fd = control;
  sqe->head.offset = command->operation;
  memcpy((uint8_t *)sqe + 48, &body, sizeof body);
  ((uint32_t *)(ring->rings + ring->params.sq.array))[at] = at;
  __atomic_store_n(sq_tail, *sq_tail + 1, __ATOMIC_RELEASE);
  uint32_t to_submit = 1;
  while (__atomic_load_n(cq_tail, __ATOMIC_ACQUIRE) == *cq_head) {
    long taken = syscall(PF_SYS_ENTER, ring->fd, to_submit, 1, PF_ENTER_GETEVENTS, NULL, 0);
    if (taken < 0 && errno != EINTR && errno != EAGAIN) return -errno;
    if (taken > 0) to_submit = 0;
  }
  const uint8_t *cqe = ring->rings + ring->params.cq.cqes + (*cq_head & (ring->params.cq_entries - 1)) * 16ul;
  int32_t result;
  memcpy(&result, cqe + 8, sizeof result);
  __atomic_store_n(cq_head, *cq_head + 1, __ATOMIC_RELEASE);
  return result;
}

static void write_attributes(const struct pf_ublk_job *job) {
  for (size_t at = 0; at < job->attributes_bytes;) {
    const char *path = job->attributes + at, *text = path + strlen(path) + 1;
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    // One that does not exist here, or refuses the value, stays as it is.
    if (fd >= 0 && write(fd, text, strlen(text)) >= 0) close(fd);
    at = (size_t)(text - job->attributes) + strlen(text) + 1;
  }
}

static int perform(struct pf_ublk_job *job) {
  struct small_ring ring;
  bool is_good = true;
  // Until we end.
  if (job->claim[0] != 0 && open(job->claim, O_RDONLY | O_EXCL | O_CLOEXEC) < 0) return -errno;
  int control = open("/dev/ublk-control", O_RDWR | O_CLOEXEC);
  if (control < 0) return -errno;
  int error = open_small_ring(&ring);
  if (error != 0) return error;
  for (uint32_t at = 0; at < job->command_count && is_good; at++) {
    int result = run_command(&ring, control, &job->commands[at], job->bytes + (size_t)at * job->stride, job->stride);
    job->results[at] = result < 0 ? result : 0;
    is_good = result >= 0 || job->goes_on != 0;
  }
  if (is_good) write_attributes(job);
  return 0;
}

int main(void) {
  // It is of use to the process that has started it, and to nobody after that. The thread that did blocks all signals.
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  struct pf_ublk_job *job = mmap(NULL, sizeof *job, PROT_READ | PROT_WRITE, MAP_SHARED, PF_UBLK_JOB_FD, 0);
  if (job == MAP_FAILED) return 1;
  syscall(SYS_CLOSE_RANGE, PF_UBLK_JOB_FD, ~0u, 0);
  job->error = perform(job);
  return 0;
}
