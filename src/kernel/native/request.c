/*
 * A netlink request in libuv's thread pool, on a socket of its own: deleting a link waits 12 to 18 ms for RCU inside
 * sendmsg, and the event loop must not.
 */
#include "binding.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define REPLY_MAX (16u << 20) /* a dump of 1,000 links is 2 MiB */
#define READ_SIZE 65536u

struct request {
  napi_async_work work;
  napi_deferred deferred;
  int protocol;
  int netns; /* a duplicate of the caller's descriptor, or -1 */
  uint32_t timeout_ms;
  uint32_t acks_left;
  uint8_t *message;
  size_t message_length;
  uint8_t *reply;
  size_t reply_length, reply_capacity;
  int error;
};

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Counts the acknowledgements and ends of dumps in one datagram. */
static void count_acks(struct request *request, size_t from) {
  size_t offset = from;
  while (request->acks_left > 0 && offset + sizeof(struct nlmsghdr) <= request->reply_length) {
    struct nlmsghdr header;
    memcpy(&header, request->reply + offset, sizeof header);
    if (header.nlmsg_len < sizeof header) return;
    if (header.nlmsg_type == NLMSG_ERROR || header.nlmsg_type == NLMSG_DONE) request->acks_left--;
    offset += NLMSG_ALIGN(header.nlmsg_len);
  }
}

static int converse(struct request *request, int fd) {
  int on = 1, size = 4 << 20;
  struct sockaddr_nl address = {.nl_family = AF_NETLINK};
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
  setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  int64_t deadline = now_ms() + request->timeout_ms;
  if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) return -errno;
  if (send(fd, request->message, request->message_length, MSG_NOSIGNAL) < 0) return -errno;

  while (request->acks_left > 0) {
    int64_t left = deadline - now_ms();
    struct timeval timeout = {.tv_sec = left / 1000, .tv_usec = (left % 1000) * 1000};
    /* An answer that came while this thread stood still, or waited for the kernel's lock in send(), counts: it is only read. */
    int how = left > 0 ? MSG_TRUNC : MSG_TRUNC | MSG_DONTWAIT;
    if (left > 0) setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    if (request->reply_capacity - request->reply_length < READ_SIZE) {
      size_t capacity = request->reply_capacity * 2 + READ_SIZE;
      if (capacity > REPLY_MAX) return -EMSGSIZE;
      uint8_t *grown = realloc(request->reply, capacity);
      if (grown == NULL) return -ENOMEM;
      request->reply = grown;
      request->reply_capacity = capacity;
    }
    ssize_t got = recv(fd, request->reply + request->reply_length, READ_SIZE, how);
    if (got < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN || errno == EWOULDBLOCK ? -ETIMEDOUT : -errno;
    }
    if (got > (ssize_t)READ_SIZE) return -EMSGSIZE;
    size_t from = request->reply_length;
    request->reply_length += (size_t)got;
    count_acks(request, from);
    /* Datagrams are joined at the alignment that the parser expects between messages. */
    size_t aligned = NLMSG_ALIGN(request->reply_length);
    memset(request->reply + request->reply_length, 0, aligned - request->reply_length);
    request->reply_length = aligned;
  }
  return 0;
}

static void execute(napi_env env, void *data) {
  (void)env;
  struct request *request = data;
  int home = request->netns < 0 ? -1 : koi_netns_enter(request->netns);
  if (request->netns >= 0 && home < 0) {
    request->error = home;
    return;
  }
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, request->protocol);
  int error = fd < 0 ? -errno : 0;
  if (home >= 0) koi_netns_leave(home);
  if (fd < 0) {
    request->error = error;
    return;
  }
  request->error = converse(request, fd);
  close(fd);
}

static void complete(napi_env env, napi_status status, void *data) {
  struct request *request = data;
  napi_value result = NULL;
  if (status == napi_cancelled) request->error = -ECANCELED;
  if (request->error == 0) {
    void *bytes = NULL;
    napi_value buffer = NULL;
    if (napi_create_arraybuffer(env, request->reply_length, &bytes, &buffer) == napi_ok) {
      if (request->reply_length > 0) memcpy(bytes, request->reply, request->reply_length);
      napi_create_typedarray(env, napi_uint8_array, request->reply_length, buffer, 0, &result);
    } else {
      request->error = -ENOMEM;
    }
  }
  if (result == NULL) result = koi_number(env, request->error);
  if (request->netns >= 0) close(request->netns);
  napi_resolve_deferred(env, request->deferred, result);
  napi_delete_async_work(env, request->work);
  free(request->message);
  free(request->reply);
  free(request);
}

/*
 * requestAsync(protocol, message: Uint8Array, acks, timeoutMs[, netns]): a promise of the reply bytes once `acks` messages of
 * type NLMSG_ERROR or NLMSG_DONE have come, or of a negative errno (-ETIMEDOUT: the deadline passed).
 */
napi_value koi_request_async(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  int32_t protocol, netns;
  uint32_t acks, timeout_ms;
  uint8_t *bytes;
  size_t length;
  if (!koi_arguments(env, info, 4, arguments) || !koi_int_of(env, arguments[0], &protocol) ||
      !koi_bytes_of(env, arguments[1], &bytes, &length) || !koi_uint_of(env, arguments[2], &acks) ||
      !koi_uint_of(env, arguments[3], &timeout_ms) || !koi_netns_of(env, info, 4, &netns))
    return NULL;
  struct request *request = calloc(1, sizeof *request);
  uint8_t *message = malloc(length > 0 ? length : 1);
  if (request == NULL || message == NULL) {
    free(request);
    free(message);
    napi_throw_error(env, NULL, "koi_kernel: out of memory");
    return NULL;
  }
  memcpy(message, bytes, length);
  /* The thread may come to it when the caller has closed its own. */
  int own = netns < 0 ? -1 : fcntl(netns, F_DUPFD_CLOEXEC, 3);
  if (netns >= 0 && own < 0) {
    free(request);
    free(message);
    napi_throw_error(env, NULL, "koi_kernel: the namespace's descriptor cannot be used");
    return NULL;
  }
  *request = (struct request){
      .protocol = protocol,
      .netns = own,
      .timeout_ms = timeout_ms,
      .acks_left = acks,
      .message = message,
      .message_length = length,
  };
  napi_value promise = NULL, name = NULL;
  napi_create_promise(env, &request->deferred, &promise);
  napi_create_string_utf8(env, "koi:request", NAPI_AUTO_LENGTH, &name);
  napi_create_async_work(env, NULL, name, execute, complete, request, &request->work);
  napi_queue_async_work(env, request->work);
  return promise;
}
