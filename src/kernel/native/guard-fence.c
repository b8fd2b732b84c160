#include "guard-fence.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guard-registry.h"

/* 512 messages of at most 64 bytes: half a page of replies each in the worst case still fits the receive buffer. */
#define CHUNK_BYTES 32768
#define SOCKET_BUFFER_BYTES (2 * 1024 * 1024)
#define ETHERNET_HEADER_BYTES 14
#define IPV4_HEADER_BYTES 20
#define IPV6_HEADER_BYTES 40
#define SEND_ATTEMPTS_MAX 3

static int packet_fd = -1;
static int ipv4_fd = -1;
static int ipv6_fd = -1; /* stays -1 on a host without IPv6 */
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
static void send_chunk(int netlink_fd, struct fence_addresses *result) {
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

static void send_chunk_to_own(struct fence_addresses *result) { send_chunk(netns_socket(GUARD_NETNS_OWN), result); }

/* Asks to remove what cannot exist: ENODEV proves the right to remove, EPERM comes before anything is looked at. */
static int prove_right_to_remove(void) {
  struct fence_addresses result = {0};
  struct guard_address nowhere = {.ifindex = INT32_MAX, .family = 4, .prefix_length = 32, .bytes = {192, 0, 2, 1}};
  add_address(&nowhere);
  send_chunk_to_own(&result);
  if (result.failed > 0) return result.error;
  return result.absent == 1 ? 0 : EPROTO;
}

int fence_open(const char **what) {
  int bytes = SOCKET_BUFFER_BYTES;
  *what = "opening a packet socket";
  packet_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (packet_fd < 0) return errno;
  *what = "opening a raw socket";
  ipv4_fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);
  if (ipv4_fd < 0) return errno;
  ipv6_fd = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);
  *what = "opening a route netlink socket";
  int error = netns_open_own();
  if (error != 0) return error;
  /* Best effort: a user namespace refuses it, and the default buffer serves all but the largest registrations. */
  (void)setsockopt(packet_fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
  *what = "asking the kernel to remove an address";
  return prove_right_to_remove();
}

struct fence_addresses fence_addresses_off(uint16_t vr) {
  struct fence_addresses result = {0};
  for (int netns = 0; netns <= GUARD_NETNS_OWN; netns++) {
    int fd = netns_socket(netns);
    if (fd < 0) continue;
    for (unsigned i = 0; i < GUARD_ADDRESSES_MAX; i++) {
      if (!registry_selects(vr, guard_addresses[i].vr) || guard_vrs[guard_addresses[i].vr].netns != netns) continue;
      add_address(&guard_addresses[i]);
      if (CHUNK_BYTES - chunk_length < 64) send_chunk(fd, &result);
    }
    if (chunk_messages > 0) send_chunk(fd, &result);
  }
  return result;
}

static ssize_t send_frame(const struct guard_advert *advert) {
  struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)advert->ifindex, .sll_halen = 6};
  memcpy(to.sll_addr, advert->frame, 6);
  memcpy(&to.sll_protocol, advert->frame + 12, 2);
  return sendto(packet_fd, advert->frame, advert->length, 0, (struct sockaddr *)&to, sizeof to);
}

/* Out of the parent alone, whatever other routes there are: IP_PKTINFO, IPV6_PKTINFO. */
static ssize_t send_routed(const struct guard_advert *advert) {
  const uint8_t *packet = advert->frame + ETHERNET_HEADER_BYTES;
  size_t room = advert->length - ETHERNET_HEADER_BYTES;
  bool is_ipv6 = room >= IPV6_HEADER_BYTES && packet[0] >> 4 == 6;
  if (!is_ipv6 && (room < IPV4_HEADER_BYTES || packet[0] >> 4 != 4)) return errno = EINVAL, -1;
  size_t length = is_ipv6 ? IPV6_HEADER_BYTES + (size_t)(packet[4] << 8 | packet[5]) : (size_t)(packet[2] << 8 | packet[3]);
  if (length > room) return errno = EINVAL, -1;

  struct sockaddr_in to4 = {.sin_family = AF_INET};
  struct sockaddr_in6 to6 = {.sin6_family = AF_INET6, .sin6_scope_id = advert->ifindex};
  memcpy(&to4.sin_addr, packet + 16, sizeof to4.sin_addr);
  if (is_ipv6) memcpy(&to6.sin6_addr, packet + 24, sizeof to6.sin6_addr);
  struct iovec vector = {.iov_base = (void *)(uintptr_t)packet, .iov_len = length};
  union {
    struct cmsghdr header;
    uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
  } control;
  memset(&control, 0, sizeof control);
  struct in_pktinfo info4 = {.ipi_ifindex = (int)advert->ifindex};
  struct in6_pktinfo info6 = {.ipi6_ifindex = advert->ifindex};
  size_t info_length = is_ipv6 ? sizeof info6 : sizeof info4;
  control.header.cmsg_level = is_ipv6 ? IPPROTO_IPV6 : IPPROTO_IP;
  control.header.cmsg_type = is_ipv6 ? IPV6_PKTINFO : IP_PKTINFO;
  control.header.cmsg_len = CMSG_LEN(info_length);
  memcpy(CMSG_DATA(&control.header), is_ipv6 ? (void *)&info6 : (void *)&info4, info_length);
  struct msghdr message = {
      .msg_name = is_ipv6 ? (void *)&to6 : (void *)&to4,
      .msg_namelen = is_ipv6 ? sizeof to6 : sizeof to4,
      .msg_iov = &vector,
      .msg_iovlen = 1,
      .msg_control = &control,
      .msg_controllen = CMSG_SPACE(info_length),
  };
  return sendmsg(is_ipv6 ? ipv6_fd : ipv4_fd, &message, 0);
}

struct fence_adverts fence_send_adverts(uint16_t vr) {
  struct fence_adverts result = {0};
  for (unsigned i = 0; i < guard_adverts_end; i++) {
    const struct guard_advert *advert = &guard_adverts[i];
    if (!registry_selects(vr, advert->vr)) continue;
    if ((advert->routed ? send_routed(advert) : send_frame(advert)) >= 0) {
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
  for (int netns = 0; netns <= GUARD_NETNS_OWN; netns++) {
    int fd = netns_socket(netns);
    if (fd < 0) continue;
    struct ifinfomsg body = {.ifi_family = AF_UNSPEC};
    struct nlmsghdr *header = begin_message(RTM_DELLINK);
    append(header, &body, sizeof body);
    append_attribute(header, IFLA_GROUP, &group, sizeof group);
    end_message(header);
    send_chunk(fd, &result);
  }
  if (result.failed > 0) return result.error;
  return result.absent == result.sent ? ENODEV : 0;
}
