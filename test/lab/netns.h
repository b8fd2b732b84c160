// What the lab's small programs share: enter a namespace to open sockets there, read the one clock, end with the lab.
#ifndef KOI_LAB_NETNS_H
#define KOI_LAB_NETNS_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static inline void die(const char *what) {
  fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
  exit(1);
}

/// CLOCK_MONOTONIC in nanoseconds: the clock of Node's process.hrtime, so that all records of a run compare.
static inline uint64_t monotonic_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/// CLOCK_MONOTONIC of a kernel receive time stamp (SO_TIMESTAMPNS, CLOCK_REALTIME).
static inline uint64_t monotonic_of(const struct timespec *real) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  int64_t age = ((int64_t)now.tv_sec - real->tv_sec) * 1000000000ll + (now.tv_nsec - real->tv_nsec);
  return monotonic_ns() - (uint64_t)(age < 0 ? 0 : age);
}

/// Moves the calling thread into the named namespace; sockets opened from here on belong to it. Returns the way back.
static inline int enter_netns(const char *name) {
  char path[256];
  snprintf(path, sizeof path, "/run/netns/%s", name);
  int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (home < 0 || fd < 0 || setns(fd, CLONE_NEWNET) != 0) die(path);
  close(fd);
  return home;
}

/// Goes back, so that nobody takes this process for one of the namespace's own.
static inline void leave_netns(int home) {
  if (setns(home, CLONE_NEWNET) != 0) die("the way back to the lab's namespace");
  close(home);
}

/// Real-time priority where it is permitted, memory locked; and never outlive the lab.
static inline void settle_process(int priority) {
  struct sched_param p = {.sched_priority = priority};
  if (priority > 0) (void)sched_setscheduler(0, SCHED_FIFO, &p);
  (void)mlockall(MCL_CURRENT | MCL_FUTURE);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  setvbuf(stdout, NULL, _IOLBF, 1 << 16);
}

#endif
