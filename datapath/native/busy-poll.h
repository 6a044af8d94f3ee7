// When a thread polls its ring before it sleeps, and for how long; the rule is that of the kernel's haltpoll governor for idle
// processors. A wait that ended soon lets the next one poll longer, a long wait shorter: a thread that serves one request
// at a time is spared its wake-ups (which in a virtual machine cost more than the request), an idle one never polls.
#ifndef PF_BUSY_POLL_H
#define PF_BUSY_POLL_H

#include <stdint.h>

#define PF_POLL_FIRST_NS 20000u
// Others wanted the processor for this long when they were let onto it: no polling for a while.
#define PF_POLL_CROWDED_NS 300000u
#define PF_POLL_BARRED_NS 10000000u

struct pf_busy_poll {
  uint64_t limit_ns;         // 0: never poll
  uint64_t budget_ns;        // of the next wait
  uint64_t barred_until_ns;  // no polling before this time
};

static inline uint64_t pf_busy_poll_budget(const struct pf_busy_poll *poll, uint64_t now) {
  return now < poll->barred_until_ns ? 0 : poll->budget_ns < poll->limit_ns ? poll->budget_ns : poll->limit_ns;
}

// A wait ended in sleep after so long in all. A sleep includes the wake-ups that polling spares, on this side and often on the
// peer's, so one of twice the limit may still become one that polling covers.
static inline void pf_busy_poll_slept(struct pf_busy_poll *poll, uint64_t waited_ns) {
  if (waited_ns > 2 * poll->limit_ns) {
    uint64_t step = poll->limit_ns / 8;
    poll->budget_ns -= poll->budget_ns < step ? poll->budget_ns : step;
  } else {
    poll->budget_ns = poll->budget_ns == 0 ? PF_POLL_FIRST_NS : poll->budget_ns * 2;
    if (poll->budget_ns > poll->limit_ns) poll->budget_ns = poll->limit_ns;
  }
}

static inline void pf_busy_poll_was_crowded(struct pf_busy_poll *poll, uint64_t now) {
  poll->budget_ns = 0;
  poll->barred_until_ns = now + PF_POLL_BARRED_NS;
}

#endif
