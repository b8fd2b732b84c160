/*
 * Restarting the process in place with at most the given capabilities: same pid, and every thread of the new image has
 * them, which capset(2) alone could not promise for the threads that Node has already started.
 */
#include "binding.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STRINGS_MAX 4096

static void free_strings(char **strings) {
  if (strings == NULL) return;
  for (size_t i = 0; strings[i] != NULL; i++) free(strings[i]);
  free(strings);
}

static char *string_of(napi_env env, napi_value value) {
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok) return NULL;
  char *text = malloc(length + 1);
  if (text != NULL) napi_get_value_string_utf8(env, value, text, length + 1, &length);
  return text;
}

static char **strings_of(napi_env env, napi_value array) {
  uint32_t count = 0;
  if (napi_get_array_length(env, array, &count) != napi_ok || count > STRINGS_MAX) return NULL;
  char **strings = calloc(count + 1, sizeof *strings);
  for (uint32_t i = 0; strings != NULL && i < count; i++) {
    napi_value element = NULL;
    napi_get_element(env, array, i, &element);
    strings[i] = string_of(env, element);
    if (strings[i] == NULL) {
      free_strings(strings);
      return NULL;
    }
  }
  return strings;
}

static int drop_capabilities(uint32_t low, uint32_t high) {
  uint64_t keep = ((uint64_t)high << 32) | low;
  /* Without new privileges root's exec cannot gain what it has given up here: capabilities(7). */
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -errno;
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 && errno != EINVAL) return -errno;
  for (int capability = 0; capability < 64; capability++) {
    if (keep & (1ULL << capability)) continue;
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) continue;
    if (errno == EINVAL) break; /* beyond the last capability this kernel knows */
    if (errno == EPERM) break;  /* no CAP_SETPCAP: then the bounding set stays, which no_new_privs makes harmless */
    return -errno;
  }
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  struct __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &header, data) != 0) return -errno;
  const uint32_t masks[2] = {low, high};
  for (int i = 0; i < 2; i++) {
    data[i].permitted &= masks[i];
    data[i].effective = data[i].permitted;
    data[i].inheritable &= data[i].permitted;
  }
  return syscall(SYS_capset, &header, data) == 0 ? 0 : -errno;
}

/* execWithCapabilities(path, argv, env, maskLow, maskHigh): does not return, or returns a negative errno. */
napi_value koi_exec_with_capabilities(napi_env env, napi_callback_info info) {
  napi_value arguments[5];
  uint32_t low, high;
  if (!koi_arguments(env, info, 5, arguments) || !koi_uint_of(env, arguments[3], &low) ||
      !koi_uint_of(env, arguments[4], &high))
    return NULL;
  char *path = string_of(env, arguments[0]);
  char **argv = strings_of(env, arguments[1]);
  char **environment = strings_of(env, arguments[2]);
  int result = -EINVAL;
  if (path != NULL && argv != NULL && environment != NULL) {
    result = drop_capabilities(low, high);
    if (result == 0) {
      for (int fd = 0; fd <= 2; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags >= 0) fcntl(fd, F_SETFD, flags & ~FD_CLOEXEC);
      }
      execve(path, argv, environment);
      result = -errno;
    }
  }
  free(path);
  free_strings(argv);
  free_strings(environment);
  return koi_number(env, result);
}
