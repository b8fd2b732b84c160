/* The hot paths: many frames out in one sendmmsg, many messages in with one recvmmsg, no allocation in either. */
#include "binding.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void koi_receive_release(struct koi_socket *sock) {
  struct koi_receive *receive = &sock->receive;
  napi_env env = sock->owner->env;
  if (receive->buffer_ref != NULL) napi_delete_reference(env, receive->buffer_ref);
  if (receive->meta_ref != NULL) napi_delete_reference(env, receive->meta_ref);
  free(receive->headers);
  free(receive->vectors);
  free(receive->addresses);
  memset(receive, 0, sizeof *receive);
}

/* prepareReceive(handle, buffer: Uint8Array, meta: Int32Array, slotSize): 0 or a negative errno. Kept for receiveMany. */
napi_value koi_prepare_receive(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  uint8_t *data;
  size_t length, meta_length;
  uint32_t slot_size;
  napi_typedarray_type meta_type;
  if (!koi_arguments(env, info, 4, arguments)) return NULL;
  struct koi_socket *sock = koi_socket_of(env, arguments[0]);
  if (sock == NULL || !koi_bytes_of(env, arguments[1], &data, &length) ||
      !koi_uint_of(env, arguments[3], &slot_size))
    return NULL;
  if (napi_get_typedarray_info(env, arguments[2], &meta_type, &meta_length, NULL, NULL, NULL) != napi_ok ||
      meta_type != napi_int32_array)
    return koi_throw(env, "koi_kernel: expected an Int32Array");
  if (sock->fd < 0) return koi_number(env, -EBADF);
  size_t slots = slot_size == 0 ? 0 : length / slot_size;
  if (slots == 0 || slots > KOI_BATCH_MAX || meta_length < slots * KOI_META_FIELDS) return koi_number(env, -EINVAL);

  koi_receive_release(sock);
  struct koi_receive *receive = &sock->receive;
  receive->headers = calloc(slots, sizeof *receive->headers);
  receive->vectors = calloc(slots, sizeof *receive->vectors);
  receive->addresses = calloc(slots, sizeof *receive->addresses);
  if (receive->headers == NULL || receive->vectors == NULL || receive->addresses == NULL) {
    koi_receive_release(sock);
    return koi_number(env, -ENOMEM);
  }
  napi_create_reference(env, arguments[1], 1, &receive->buffer_ref);
  napi_create_reference(env, arguments[2], 1, &receive->meta_ref);
  receive->data = data;
  receive->slots = (uint32_t)slots;
  receive->slot_size = slot_size;
  for (size_t i = 0; i < slots; i++) {
    receive->vectors[i] = (struct iovec){.iov_base = data + i * slot_size, .iov_len = slot_size};
    receive->headers[i].msg_hdr.msg_iov = &receive->vectors[i];
    receive->headers[i].msg_hdr.msg_iovlen = 1;
    receive->headers[i].msg_hdr.msg_name = &receive->addresses[i];
  }
  return koi_number(env, 0);
}

/* Where the slots are, and their numbers; a buffer that was transferred away since prepareReceive would be a write into
 * freed memory. @return 0 or a negative errno */
static int arrays_of(struct koi_socket *sock, int32_t **meta) {
  const struct koi_receive *receive = &sock->receive;
  napi_env env = sock->owner->env;
  napi_value buffer = NULL, meta_array = NULL;
  void *data = NULL, *meta_data = NULL;
  size_t length = 0, meta_length = 0;
  if (receive->slots == 0) return -EINVAL;
  napi_get_reference_value(env, receive->buffer_ref, &buffer);
  napi_get_reference_value(env, receive->meta_ref, &meta_array);
  if (buffer == NULL || meta_array == NULL ||
      napi_get_typedarray_info(env, buffer, NULL, &length, &data, NULL, NULL) != napi_ok ||
      napi_get_typedarray_info(env, meta_array, NULL, &meta_length, &meta_data, NULL, NULL) != napi_ok ||
      data != receive->data || length < (size_t)receive->slots * receive->slot_size ||
      meta_length < (size_t)receive->slots * KOI_META_FIELDS + (sock->ear != NULL))
    return -EFAULT;
  *meta = meta_data;
  return 0;
}

/* MSG_TRUNC makes the kernel report the true length, so a cut message is noticed. */
static int receive_batch(struct koi_socket *sock) {
  struct koi_receive *receive = &sock->receive;
  for (uint32_t i = 0; i < receive->slots; i++) receive->headers[i].msg_hdr.msg_namelen = sizeof *receive->addresses;
  int got;
  do got = recvmmsg(sock->fd, receive->headers, receive->slots, MSG_DONTWAIT | MSG_TRUNC, NULL);
  while (got < 0 && errno == EINTR);
  return got < 0 ? -errno : got;
}

/* How many of the batch's first frames the ear knows. What follows another frame is for the event loop to ask, which may
 * have heard by then that nothing of it is known any more. */
static int known_of(struct koi_socket *sock, int got) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  double now_ms = (double)time.tv_sec * 1000 + (double)time.tv_nsec / 1e6;
  const struct koi_receive *receive = &sock->receive;
  int known = 0;
  for (; known < got; known++) {
    uint32_t length = receive->headers[known].msg_len;
    const uint8_t *frame = receive->data + (size_t)known * receive->slot_size;
    if (length > receive->slot_size || !koi_ear_knows(sock->ear, frame, length, now_ms)) break;
  }
  return known;
}

static void fill_meta(const struct koi_socket *sock, int got, int known, int32_t *meta) {
  const struct koi_receive *receive = &sock->receive;
  for (int i = 0; i < got; i++, meta += KOI_META_FIELDS) {
    meta[0] = i < known ? 0 : (int32_t)receive->headers[i].msg_len;
    if (sock->family != AF_PACKET) {
      struct sockaddr_nl sender;
      memcpy(&sender, &receive->addresses[i], sizeof sender);
      meta[1] = (int32_t)sender.nl_pid;
      continue;
    }
    meta[1] = receive->addresses[i].sll_pkttype;
    meta[2] = ntohs(receive->addresses[i].sll_protocol);
    meta[3] = receive->addresses[i].sll_ifindex;
  }
}

/* Reads until something is left for the event loop: slots, or an error; 0 after a turn of nothing but what the ear knows. */
static int receive_rest(struct koi_socket *sock, int32_t *meta) {
  struct koi_receive *receive = &sock->receive;
  for (uint32_t turn = 0; turn < KOI_KNOWN_TURN; turn += receive->slots) {
    int got = receive_batch(sock);
    if (got < 0 || sock->ear == NULL) {
      if (got > 0) fill_meta(sock, got, 0, meta);
      return got;
    }
    int known = known_of(sock, got);
    if (known < got) {
      fill_meta(sock, got, known, meta);
      return got;
    }
    receive->known += (uint32_t)got;
    if ((uint32_t)got < receive->slots) return -EAGAIN; /* the kernel had no more */
  }
  return 0;
}

enum koi_heard koi_receive_known(struct koi_socket *sock) {
  int32_t *meta;
  if (sock->ear == NULL || sock->receive.waiting != 0 || arrays_of(sock, &meta) != 0) return OTHERS_HEARD;
  uint32_t before = sock->receive.known;
  int rest = receive_rest(sock, meta);
  if (rest == 0 || rest == -EAGAIN) return sock->receive.known == before ? NOTHING_HEARD : KNOWN_HEARD;
  sock->receive.waiting = rest;
  return OTHERS_HEARD;
}

/*
 * receiveMany(handle): how many slots were filled, or a negative errno (-EAGAIN: nothing waits; -ENOBUFS: the kernel
 * dropped netlink messages). Where the socket has an ear, a slot of length 0 has been dealt with, and behind the slots'
 * numbers is how many frames more have been, of which no slot tells; 0 slots: there may be more.
 */
napi_value koi_receive_many(napi_env env, napi_callback_info info) {
  napi_value argument;
  int32_t *meta;
  if (!koi_arguments(env, info, 1, &argument)) return NULL;
  struct koi_socket *sock = koi_socket_of(env, argument);
  if (sock == NULL) return NULL;
  if (sock->fd < 0) return koi_number(env, -EBADF);
  struct koi_receive *receive = &sock->receive;
  int result = arrays_of(sock, &meta);
  if (result != 0) return koi_number(env, result);
  result = receive->waiting != 0 ? receive->waiting : receive_rest(sock, meta);
  receive->waiting = 0;
  if (sock->ear != NULL) meta[(size_t)receive->slots * KOI_META_FIELDS] = (int32_t)receive->known;
  receive->known = 0;
  return koi_number(env, result);
}

/*
 * sendMany(handle, buffer: Uint8Array, table: Uint32Array, first, count): how many were sent, or a negative errno if
 * the first was refused. The table holds (offset, length, ifindex) a message; ifindex 0 means where the socket is bound.
 */
napi_value koi_send_many(napi_env env, napi_callback_info info) {
  napi_value arguments[5];
  uint8_t *data;
  size_t length, table_length;
  uint32_t first, count;
  napi_typedarray_type type;
  void *table_data = NULL;
  if (!koi_arguments(env, info, 5, arguments)) return NULL;
  struct koi_socket *sock = koi_socket_of(env, arguments[0]);
  if (sock == NULL || !koi_bytes_of(env, arguments[1], &data, &length) || !koi_uint_of(env, arguments[3], &first) ||
      !koi_uint_of(env, arguments[4], &count))
    return NULL;
  if (napi_get_typedarray_info(env, arguments[2], &type, &table_length, &table_data, NULL, NULL) != napi_ok ||
      type != napi_uint32_array)
    return koi_throw(env, "koi_kernel: expected a Uint32Array");
  if (sock->fd < 0) return koi_number(env, -EBADF);
  if (count > KOI_BATCH_MAX) count = KOI_BATCH_MAX;
  if (((uint64_t)first + count) * 3 > table_length) return koi_number(env, -EINVAL);

  struct koi_env *koi = sock->owner;
  const uint32_t *entry = (const uint32_t *)table_data + (size_t)first * 3;
  for (uint32_t i = 0; i < count; i++, entry += 3) {
    if ((uint64_t)entry[0] + entry[1] > length) return koi_number(env, -EINVAL);
    koi->send_vectors[i] = (struct iovec){.iov_base = data + entry[0], .iov_len = entry[1]};
    struct msghdr *header = &koi->send_headers[i].msg_hdr;
    *header = (struct msghdr){.msg_iov = &koi->send_vectors[i], .msg_iovlen = 1};
    if (sock->family == AF_PACKET && entry[2] != 0) {
      koi->send_addresses[i] = (struct sockaddr_ll){.sll_family = AF_PACKET, .sll_ifindex = (int)entry[2]};
      header->msg_name = &koi->send_addresses[i];
      header->msg_namelen = sizeof koi->send_addresses[i];
    }
  }
  int sent;
  do sent = sendmmsg(sock->fd, koi->send_headers, count, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return koi_number(env, sent < 0 ? -errno : sent);
}
