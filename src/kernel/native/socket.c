/* Opening, binding, options, closing. */
#include "binding.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A descriptor or a negative errno; a socket belongs for ever to the namespace it was opened in. */
static int open_in(int netns, int family, int type, int protocol) {
  int home = netns < 0 ? -1 : koi_netns_enter(netns);
  if (netns >= 0 && home < 0) return home;
  int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
  int result = fd >= 0 ? fd : -errno;
  if (home >= 0) koi_netns_leave(home);
  return result;
}

/* open(family, type, protocol[, netns]): an external that binding.c wraps into a handle, or a negative errno. */
napi_value koi_open(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  int32_t family, type, protocol, netns;
  if (!koi_arguments(env, info, 3, arguments) || !koi_int_of(env, arguments[0], &family) ||
      !koi_int_of(env, arguments[1], &type) || !koi_int_of(env, arguments[2], &protocol) ||
      !koi_netns_of(env, info, 3, &netns))
    return NULL;
  if (family != AF_PACKET && family != AF_NETLINK && family != AF_UNIX) return koi_number(env, -EAFNOSUPPORT);

  struct koi_socket *sock = calloc(1, sizeof *sock);
  if (sock == NULL) return koi_number(env, -ENOMEM);
  /* Packet protocols travel in network order, even in socket(2): packet(7). */
  int wire_protocol = family == AF_PACKET ? htons((uint16_t)protocol) : protocol;
  sock->fd = open_in(netns, family, type, wire_protocol);
  if (sock->fd < 0) {
    int error = sock->fd;
    free(sock);
    return koi_number(env, error);
  }
  struct koi_env *koi = koi_env_of(env);
  sock->owner = koi;
  sock->family = family;
  sock->next = koi->sockets;
  sock->link = &koi->sockets;
  if (koi->sockets != NULL) koi->sockets->link = &sock->next;
  koi->sockets = sock;

  napi_value external = NULL;
  napi_create_external(env, sock, NULL, NULL, &external);
  return external;
}

/* bindPacket(handle, ifindex, protocol): 0 or a negative errno. */
napi_value koi_bind_packet(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  int32_t ifindex, protocol;
  if (!koi_arguments(env, info, 3, arguments)) return NULL;
  struct koi_socket *sock = koi_socket_of(env, arguments[0]);
  if (sock == NULL || !koi_int_of(env, arguments[1], &ifindex) || !koi_int_of(env, arguments[2], &protocol)) return NULL;
  if (sock->family != AF_PACKET) return koi_number(env, -EAFNOSUPPORT);
  struct sockaddr_ll address = {
      .sll_family = AF_PACKET, .sll_protocol = htons((uint16_t)protocol), .sll_ifindex = ifindex};
  return koi_number(env, bind(sock->fd, (struct sockaddr *)&address, sizeof address) == 0 ? 0 : -errno);
}

/* bindNetlink(handle, groups): 0 or a negative errno; the kernel picks the port id. */
napi_value koi_bind_netlink(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  uint32_t groups;
  if (!koi_arguments(env, info, 2, arguments)) return NULL;
  struct koi_socket *sock = koi_socket_of(env, arguments[0]);
  if (sock == NULL || !koi_uint_of(env, arguments[1], &groups)) return NULL;
  if (sock->family != AF_NETLINK) return koi_number(env, -EAFNOSUPPORT);
  struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = groups};
  return koi_number(env, bind(sock->fd, (struct sockaddr *)&address, sizeof address) == 0 ? 0 : -errno);
}

/* setOption(handle, level, name, number | Uint8Array): 0 or a negative errno. */
napi_value koi_set_option(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  int32_t level, name, number;
  napi_valuetype type;
  if (!koi_arguments(env, info, 4, arguments)) return NULL;
  struct koi_socket *sock = koi_socket_of(env, arguments[0]);
  if (sock == NULL || !koi_int_of(env, arguments[1], &level) || !koi_int_of(env, arguments[2], &name)) return NULL;
  const void *value = &number;
  size_t length = sizeof number;
  napi_typeof(env, arguments[3], &type);
  if (type == napi_number) {
    if (!koi_int_of(env, arguments[3], &number)) return NULL;
  } else {
    uint8_t *bytes;
    if (!koi_bytes_of(env, arguments[3], &bytes, &length)) return NULL;
    value = bytes;
  }
  return koi_number(env, setsockopt(sock->fd, level, name, value, (socklen_t)length) == 0 ? 0 : -errno);
}

/* getOption(handle, level, name, length): Uint8Array or a negative errno. */
napi_value koi_get_option(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  int32_t level, name;
  uint32_t length;
  if (!koi_arguments(env, info, 4, arguments)) return NULL;
  struct koi_socket *sock = koi_socket_of(env, arguments[0]);
  if (sock == NULL || !koi_int_of(env, arguments[1], &level) || !koi_int_of(env, arguments[2], &name) ||
      !koi_uint_of(env, arguments[3], &length))
    return NULL;
  uint8_t value[256];
  if (length > sizeof value) return koi_number(env, -EINVAL);
  socklen_t got = length;
  if (getsockopt(sock->fd, level, name, value, &got) != 0) return koi_number(env, -errno);
  void *bytes = NULL;
  napi_value buffer = NULL, array = NULL;
  if (napi_create_arraybuffer(env, got, &bytes, &buffer) != napi_ok) return koi_number(env, -ENOMEM);
  if (got > 0) memcpy(bytes, value, got);
  napi_create_typedarray(env, napi_uint8_array, got, buffer, 0, &array);
  return array;
}

/* attachFilter(handle, struct sock_filter[] as bytes): 0 or a negative errno. */
napi_value koi_attach_filter(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  uint8_t *bytes;
  size_t length;
  if (!koi_arguments(env, info, 2, arguments)) return NULL;
  struct koi_socket *sock = koi_socket_of(env, arguments[0]);
  if (sock == NULL || !koi_bytes_of(env, arguments[1], &bytes, &length)) return NULL;
  struct sock_filter code[256];
  if (length == 0 || length % sizeof *code != 0 || length > sizeof code) return koi_number(env, -EINVAL);
  memcpy(code, bytes, length); /* the JavaScript view may be unaligned */
  struct sock_fprog program = {.len = (unsigned short)(length / sizeof *code), .filter = code};
  int result = setsockopt(sock->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
  return koi_number(env, result == 0 ? 0 : -errno);
}

struct close_work {
  uv_work_t work;
  struct koi_env *owner;
  int fd;
};

static void close_in_pool(uv_work_t *work) {
  struct close_work *closing = work->data;
  close(closing->fd);
}

static void closed_in_pool(uv_work_t *work, int status) {
  struct close_work *closing = work->data;
  if (status == UV_ECANCELED) close(closing->fd);
  struct koi_env *koi = closing->owner;
  free(closing);
  koi->closing--;
  koi_cleanup_finished(koi);
}

/*
 * Closing a packet socket waits for an RCU grace period in the kernel (packet_release), about 7 ms in which the event
 * loop would stand still: so it happens in the thread pool.
 */
static void close_descriptor(struct koi_socket *sock) {
  struct close_work *closing = sock->family == AF_PACKET ? malloc(sizeof *closing) : NULL;
  if (closing != NULL) {
    closing->work.data = closing;
    closing->owner = sock->owner;
    closing->fd = sock->fd;
    if (uv_queue_work(sock->owner->loop, &closing->work, close_in_pool, closed_in_pool) == 0) {
      sock->owner->closing++;
      return;
    }
    free(closing);
  }
  close(sock->fd);
}

/* Safe to call twice, and while polling. */
void koi_socket_close(struct koi_socket *sock) {
  if (sock->fd < 0) return;
  koi_pump_forget(sock);
  koi_poll_close(sock); /* before close(2): libuv has to take the descriptor out of its epoll set */
  close_descriptor(sock);
  sock->fd = -1;
  koi_receive_release(sock);
  koi_ear_end(sock);
  *sock->link = sock->next;
  if (sock->next != NULL) sock->next->link = sock->link;
}

/* close(handle) */
napi_value koi_close(napi_env env, napi_callback_info info) {
  napi_value argument;
  if (!koi_arguments(env, info, 1, &argument)) return NULL;
  struct koi_socket *sock = koi_socket_of(env, argument);
  if (sock != NULL) koi_socket_close(sock);
  return NULL;
}
