// Holds one open /dev/fuse while the program that serves it is dead: the kernel ends a FUSE connection when the last descriptor of
// it is closed, and everything that uses the device would see I/O errors. Started detached by world/node/node-fuse.ts with the
// connection as descriptor 3; the next server borrows it from here (pidfd_getfd). The only argument names the mapping, for whoever
// lists processes. Ends by SIGTERM or SIGKILL when the mapping goes.
// It lives as long as its control group: where a pod's processes are all killed with the pod, the service manager has to start the server
// in a group that outlives it.
#define _GNU_SOURCE
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HELD 3

int main(void) {
  for (int fd = 0; fd < HELD; fd++) close(fd);
  syscall(436 /* close_range */, HELD + 1, ~0u, 0);
  if (chdir("/") != 0) return 1;
  prctl(PR_SET_NAME, "pf-holder");
  // What a terminal or a log-out sends to a whole session is not meant for it.
  signal(SIGHUP, SIG_IGN);
  signal(SIGINT, SIG_IGN);
  for (;;) pause();
}
