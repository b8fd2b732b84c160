/* What an operator may ask of the kernel for a process that keeps time. */
#include "binding.h"

#include <errno.h>
#include <sched.h>
#include <sys/mman.h>

/*
 * prioritize(priority): 0 or a negative errno. The calling thread, the event loop's, goes ahead of every ordinary one;
 * threads and programs that it starts do not.
 */
napi_value koi_prioritize(napi_env env, napi_callback_info info) {
  napi_value argument;
  int32_t priority;
  if (!koi_arguments(env, info, 1, &argument) || !koi_int_of(env, argument, &priority)) return NULL;
  struct sched_param param = {.sched_priority = priority};
  int result = sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &param);
  return koi_number(env, result == 0 ? 0 : -errno);
}

/*
 * lockMemory(): 0 or a negative errno. Whatever this process has touched stays in memory, now and later; what it only
 * reserved, as V8 does by the gigabyte, takes none.
 */
napi_value koi_lock_memory(napi_env env, napi_callback_info info) {
  (void)info;
  return koi_number(env, mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0 ? 0 : -errno);
}
