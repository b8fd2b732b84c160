/*
 * What locks are made of. An abstract unix address has one listener in its network namespace (unix(7)), and the kernel lets
 * go of it with the process; a record lock on a file is what other programs use (fcntl(2)).
 */
#include "binding.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

/* Waiters beyond these come again. */
#define BACKLOG 128

/* The socket and the address `name` without the leading NUL; false where an exception is pending. */
static bool abstract_of(napi_env env, napi_callback_info info, struct koi_socket **sock, struct sockaddr_un *address, socklen_t *length) {
  napi_value arguments[2];
  size_t bytes = 0;
  if (!koi_arguments(env, info, 2, arguments)) return false;
  *sock = koi_socket_of(env, arguments[0]);
  if (*sock == NULL) return false;
  *address = (struct sockaddr_un){.sun_family = AF_UNIX};
  if (napi_get_value_string_utf8(env, arguments[1], address->sun_path + 1, sizeof address->sun_path - 1, &bytes) != napi_ok) {
    koi_throw(env, "koi_kernel: expected a name");
    return false;
  }
  *length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + bytes);
  return true;
}

/* bindAbstract(handle, name): listens there; 0 or a negative errno, EADDRINUSE where somebody else does. */
napi_value koi_bind_abstract(napi_env env, napi_callback_info info) {
  struct koi_socket *sock;
  struct sockaddr_un address;
  socklen_t length;
  if (!abstract_of(env, info, &sock, &address, &length)) return NULL;
  if (sock->family != AF_UNIX) return koi_number(env, -EAFNOSUPPORT);
  if (bind(sock->fd, (struct sockaddr *)&address, length) != 0) return koi_number(env, -errno);
  return koi_number(env, listen(sock->fd, BACKLOG) == 0 ? 0 : -errno);
}

/* connectAbstract(handle, name): 0 or a negative errno. SO_PEERCRED then tells who listens, without its help. */
napi_value koi_connect_abstract(napi_env env, napi_callback_info info) {
  struct koi_socket *sock;
  struct sockaddr_un address;
  socklen_t length;
  if (!abstract_of(env, info, &sock, &address, &length)) return NULL;
  if (sock->family != AF_UNIX) return koi_number(env, -EAFNOSUPPORT);
  return koi_number(env, connect(sock->fd, (struct sockaddr *)&address, length) == 0 ? 0 : -errno);
}

/* lockFile(fd): an exclusive lock of the open file description on the whole file, without waiting; 0 or a negative errno. */
napi_value koi_lock_file(napi_env env, napi_callback_info info) {
  napi_value argument;
  int32_t fd;
  if (!koi_arguments(env, info, 1, &argument) || !koi_int_of(env, argument, &fd)) return NULL;
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  return koi_number(env, fcntl(fd, F_OFD_SETLK, &lock) == 0 ? 0 : -errno);
}

/*
 * fileLockHolder(fd): the pid of whoever keeps lockFile from succeeding; 0 where nobody does, -1 where the lock is of an open
 * file description, which is nobody's; other negative errnos.
 */
napi_value koi_file_lock_holder(napi_env env, napi_callback_info info) {
  napi_value argument;
  int32_t fd;
  if (!koi_arguments(env, info, 1, &argument) || !koi_int_of(env, argument, &fd)) return NULL;
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  if (fcntl(fd, F_OFD_GETLK, &lock) != 0) return koi_number(env, errno == EPERM ? -EACCES : -errno);
  return koi_number(env, lock.l_type == F_UNLCK ? 0 : lock.l_pid);
}
