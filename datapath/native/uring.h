// The kernel's io_uring interface, as far as the addon uses it, declared here because the headers of many build machines
// are older than the kernels that the program meets. Layouts and numbers are the kernel's stable ABI.
#ifndef PF_URING_H
#define PF_URING_H

#include <stdint.h>

#define PF_SYS_SETUP 425
#define PF_SYS_ENTER 426
#define PF_SYS_REGISTER 427

#define PF_SETUP_CQSIZE (1u << 3)
#define PF_SETUP_CLAMP (1u << 4)
#define PF_SETUP_COOP_TASKRUN (1u << 8)
#define PF_SETUP_TASKRUN_FLAG (1u << 9)
#define PF_SETUP_SINGLE_ISSUER (1u << 12)
#define PF_SETUP_DEFER_TASKRUN (1u << 13)

#define PF_FEAT_SINGLE_MMAP (1u << 0)
#define PF_FEAT_NODROP (1u << 1)
#define PF_FEAT_EXT_ARG (1u << 8)

#define PF_ENTER_GETEVENTS (1u << 0)
#define PF_ENTER_EXT_ARG (1u << 3)

// Bits of the submission ring's flags word.
#define PF_SQ_CQ_OVERFLOW (1u << 1)
#define PF_SQ_TASKRUN (1u << 2)

#define PF_OFFSET_SQ_RING 0ull
#define PF_OFFSET_SQES 0x10000000ull

#define PF_REGISTER_BUFFER_RING 22
#define PF_UNREGISTER_BUFFER_RING 23
#define PF_OP_POLL_ADD 6

struct pf_sq_offsets {
  uint32_t head, tail, ring_mask, ring_entries, flags, dropped, array, reserved;
  uint64_t user_address;
};

struct pf_cq_offsets {
  uint32_t head, tail, ring_mask, ring_entries, overflow, cqes, flags, reserved;
  uint64_t user_address;
};

struct pf_ring_params {
  uint32_t sq_entries, cq_entries, flags, sq_thread_cpu, sq_thread_idle, features, wq_fd, reserved[3];
  struct pf_sq_offsets sq;
  struct pf_cq_offsets cq;
};

struct pf_sqe {
  uint8_t opcode, flags;
  uint16_t priority;
  int32_t fd;
  uint64_t offset, address;
  uint32_t length, operation_flags;
  uint64_t user_data;
  uint16_t buffer_group, personality;
  int32_t file_index;
  uint64_t address3, reserved;
};

struct pf_wait_argument {
  uint64_t signal_mask;
  uint32_t signal_mask_size, reserved;
  uint64_t timespec;
};

struct pf_buffer_ring {
  uint64_t address;
  uint32_t entries;
  uint16_t group, flags;
  uint64_t reserved[3];
};

_Static_assert(sizeof(struct pf_ring_params) == 120, "io_uring_params");
_Static_assert(sizeof(struct pf_sqe) == 64, "io_uring_sqe");
_Static_assert(sizeof(struct pf_wait_argument) == 24, "io_uring_getevents_arg");
_Static_assert(sizeof(struct pf_buffer_ring) == 40, "io_uring_buf_reg");

#endif
