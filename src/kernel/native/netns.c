/*
 * Other network namespaces. setns(2) moves one thread, so it is done around single system calls and undone at once:
 * nothing else ever runs there. It needs CAP_SYS_ADMIN.
 */
#include "binding.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int koi_netns_enter(int netns) {
  int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  if (home < 0) return -errno;
  if (setns(netns, CLONE_NEWNET) == 0) return home;
  int error = errno;
  close(home);
  return -error;
}

void koi_netns_leave(int home) {
  if (setns(home, CLONE_NEWNET) != 0) {
    perror("koi: returning to the own network namespace");
    abort();
  }
  close(home);
}

/*
 * openFileIn(netns, path, flags): a descriptor or a negative errno. What /proc/sys/net shows is decided when it is opened,
 * by the thread that opens it.
 */
napi_value koi_open_file_in(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  int32_t netns, flags;
  char path[256];
  size_t length = 0;
  if (!koi_arguments(env, info, 3, arguments) || !koi_int_of(env, arguments[0], &netns) ||
      !koi_int_of(env, arguments[2], &flags))
    return NULL;
  if (napi_get_value_string_utf8(env, arguments[1], path, sizeof path, &length) != napi_ok)
    return koi_throw(env, "koi_kernel: expected a path");
  if (length >= sizeof path - 1) return koi_number(env, -ENAMETOOLONG);
  int home = koi_netns_enter(netns);
  if (home < 0) return koi_number(env, home);
  int fd = open(path, flags | O_CLOEXEC);
  int result = fd >= 0 ? fd : -errno;
  koi_netns_leave(home);
  return koi_number(env, result);
}

/*
 * sealDescriptors(): no program that this process starts inherits a descriptor above 2. For modules that open theirs
 * without O_CLOEXEC. 0 or a negative errno.
 */
napi_value koi_seal_descriptors(napi_env env, napi_callback_info info) {
  (void)info;
#ifdef SYS_close_range
  const unsigned close_range_cloexec = 4;
  if (syscall(SYS_close_range, 3u, ~0u, close_range_cloexec) == 0) return koi_number(env, 0);
#endif
  long last = sysconf(_SC_OPEN_MAX);
  for (int fd = 3; fd < last && fd < 65536; fd++) (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
  return koi_number(env, 0);
}
