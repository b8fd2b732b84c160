#include "guard-fence.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guard-registry.h"

/* 512 messages of at most 64 bytes: half a page of replies each in the worst case still fits the receive buffer. */
#define CHUNK_BYTES 32768
#define SOCKET_BUFFER_BYTES (2 * 1024 * 1024)
#define SEND_ATTEMPTS_MAX 3

static int netlink_fd = -1;
static int packet_fd = -1;
static uint8_t chunk[CHUNK_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
static size_t chunk_length;
static unsigned chunk_messages;

static struct nlmsghdr *begin_message(uint16_t type) {
  struct nlmsghdr *header = (struct nlmsghdr *)(void *)(chunk + chunk_length);
  memset(header, 0, sizeof *header);
  header->nlmsg_type = type;
  header->nlmsg_flags = NLM_F_REQUEST;
  header->nlmsg_len = NLMSG_HDRLEN;
  return header;
}

static void append(struct nlmsghdr *header, const void *bytes, size_t length) {
  memcpy((uint8_t *)header + header->nlmsg_len, bytes, length);
  header->nlmsg_len += (uint32_t)NLMSG_ALIGN(length);
}

static void append_attribute(struct nlmsghdr *header, uint16_t type, const void *bytes, size_t length) {
  struct rtattr attribute = {.rta_len = (uint16_t)RTA_LENGTH(length), .rta_type = type};
  append(header, &attribute, sizeof attribute);
  append(header, bytes, length);
}

static void end_message(const struct nlmsghdr *header) {
  chunk_length += header->nlmsg_len;
  chunk_messages++;
}

static void count_failures(struct fence_addresses *result, unsigned messages, int error) {
  result->failed += messages;
  if (result->error == 0) result->error = error;
}

/*
 * rtnetlink works inside sendmsg, and without NLM_F_ACK it answers errors only: once sendmsg returns, silence is success
 * and every error waits in the receive queue.
 */
static void send_chunk(struct fence_addresses *result) {
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  ssize_t sent = -1;
  int error = 0;
  for (int attempt = 0; attempt < SEND_ATTEMPTS_MAX && sent < 0; attempt++) {
    sent = sendto(netlink_fd, chunk, chunk_length, 0, (struct sockaddr *)&kernel, sizeof kernel);
    error = errno;
  }
  result->sent += chunk_messages;
  if (sent < 0) count_failures(result, chunk_messages, error);
  chunk_length = 0;
  chunk_messages = 0;

  static uint8_t reply[8192] __attribute__((aligned(NLMSG_ALIGNTO)));
  for (unsigned reads = 0; reads < 2 * GUARD_ADDRESSES_MAX; reads++) {
    ssize_t length = recv(netlink_fd, reply, sizeof reply, MSG_DONTWAIT);
    if (length < 0 && (errno == EINTR || errno == ENOBUFS)) continue;
    if (length <= 0) return;
    size_t left = (size_t)length;
    for (struct nlmsghdr *header = (struct nlmsghdr *)(void *)reply; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
      if (header->nlmsg_type != NLMSG_ERROR || header->nlmsg_len < NLMSG_LENGTH(sizeof(struct nlmsgerr))) continue;
      int code = -((struct nlmsgerr *)NLMSG_DATA(header))->error;
      if (code == EADDRNOTAVAIL || code == ENODEV) result->absent++;
      else if (code != 0) count_failures(result, 1, code);
    }
  }
}

static void add_address(const struct guard_address *address) {
  struct ifaddrmsg body = {
      .ifa_family = address->family == 4 ? AF_INET : AF_INET6,
      .ifa_prefixlen = address->prefix_length,
      .ifa_index = address->ifindex,
  };
  size_t length = address->family == 4 ? 4 : 16;
  struct nlmsghdr *header = begin_message(RTM_DELADDR);
  append(header, &body, sizeof body);
  append_attribute(header, IFA_LOCAL, address->bytes, length);
  append_attribute(header, IFA_ADDRESS, address->bytes, length);
  end_message(header);
}

/* Asks to remove what cannot exist: ENODEV proves the right to remove, EPERM comes before anything is looked at. */
static int prove_right_to_remove(void) {
  struct fence_addresses result = {0};
  struct guard_address nowhere = {.ifindex = INT32_MAX, .family = 4, .prefix_length = 32, .bytes = {192, 0, 2, 1}};
  add_address(&nowhere);
  send_chunk(&result);
  if (result.failed > 0) return result.error;
  return result.absent == 1 ? 0 : EPROTO;
}

int fence_open(const char **what) {
  int bytes = SOCKET_BUFFER_BYTES;
  int on = 1;
  *what = "opening a packet socket";
  packet_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (packet_fd < 0) return errno;
  *what = "opening a route netlink socket";
  netlink_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (netlink_fd < 0) return errno;
  /* Best effort: a user namespace refuses these, and the default buffers serve all but the largest registrations. */
  (void)setsockopt(packet_fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
  (void)setsockopt(netlink_fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
  (void)setsockopt(netlink_fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  *what = "asking the kernel to remove an address";
  return prove_right_to_remove();
}

struct fence_addresses fence_addresses_off(uint16_t vr) {
  struct fence_addresses result = {0};
  for (unsigned i = 0; i < GUARD_ADDRESSES_MAX; i++) {
    if (!registry_selects(vr, guard_addresses[i].vr)) continue;
    add_address(&guard_addresses[i]);
    if (CHUNK_BYTES - chunk_length < 64) send_chunk(&result);
  }
  if (chunk_messages > 0) send_chunk(&result);
  return result;
}

struct fence_adverts fence_send_adverts(uint16_t vr) {
  struct fence_adverts result = {0};
  for (unsigned i = 0; i < GUARD_ADVERTS_MAX; i++) {
    const struct guard_advert *advert = &guard_adverts[i];
    if (!registry_selects(vr, advert->vr)) continue;
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)advert->ifindex, .sll_halen = 6};
    memcpy(to.sll_addr, advert->frame, 6);
    memcpy(&to.sll_protocol, advert->frame + 12, 2);
    if (sendto(packet_fd, advert->frame, advert->length, 0, (struct sockaddr *)&to, sizeof to) >= 0) {
      result.sent++;
    } else {
      result.failed++;
      if (result.error == 0) result.error = errno;
    }
  }
  return result;
}

int fence_delete_group(uint32_t group) {
  if (group == 0) return ENODEV;
  struct fence_addresses result = {0};
  struct ifinfomsg body = {.ifi_family = AF_UNSPEC};
  struct nlmsghdr *header = begin_message(RTM_DELLINK);
  append(header, &body, sizeof body);
  append_attribute(header, IFLA_GROUP, &group, sizeof group);
  end_message(header);
  send_chunk(&result);
  if (result.failed > 0) return result.error;
  return result.absent > 0 ? ENODEV : 0;
}
