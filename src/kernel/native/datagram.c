/* One datagram to a unix socket, as sd_notify(3) wants it. Node has no unix datagrams of its own. */
#include "binding.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/*
 * sendDatagram(name, bytes): 0 or a negative errno. A name that begins with '@' is abstract (unix(7)), any other one a path.
 * Never waits: a reader whose queue is full gets EAGAIN, and whoever asks has more important things to do.
 */
napi_value koi_send_datagram(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  uint8_t *bytes;
  size_t length, named = 0;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (!koi_arguments(env, info, 2, arguments) || !koi_bytes_of(env, arguments[1], &bytes, &length)) return NULL;
  /* One byte more than fits, so that a name which is too long is seen and not cut off. */
  char name[sizeof address.sun_path + 1];
  if (napi_get_value_string_utf8(env, arguments[0], name, sizeof name, &named) != napi_ok)
    return koi_throw(env, "koi_kernel: expected a name");
  if (named < 2) return koi_number(env, -EINVAL);
  if (named >= sizeof address.sun_path) return koi_number(env, -ENAMETOOLONG);
  memcpy(address.sun_path, name, named);
  bool abstract = name[0] == '@';
  if (abstract) address.sun_path[0] = '\0';
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + named + (abstract ? 0 : 1));

  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return koi_number(env, -errno);
  ssize_t sent = sendto(fd, bytes, length, MSG_NOSIGNAL, (struct sockaddr *)&address, size);
  int error = sent < 0 ? errno : 0;
  close(fd);
  return koi_number(env, -error);
}
