// What the addon (ublk.c) and the program that does ublk's control commands (ublk-control/) share: one job, in memory of both.
#ifndef PF_UBLK_JOB_H
#define PF_UBLK_JOB_H

#include <stdint.h>

#define PF_UBLK_JOB_FD 3
#define PF_UBLK_COMMANDS_MAX 64
#define PF_UBLK_BYTES_MAX 4096

struct pf_ublk_command {
  uint32_t operation, device, data_low, data_high;
};

struct pf_ublk_job {
  uint32_t command_count;
  uint32_t stride;   // bytes of each command
  uint32_t goes_on;  // after a command that has failed
  int32_t error;     // of the whole: the claim, the control device, the ring; or 0
  struct pf_ublk_command commands[PF_UBLK_COMMANDS_MAX];
  int32_t results[PF_UBLK_COMMANDS_MAX];
  uint8_t bytes[PF_UBLK_BYTES_MAX];
  char claim[256];
  uint32_t attributes_bytes;
  char attributes[1024];  // path, text, path, text, ..., each with its end
};

#endif
