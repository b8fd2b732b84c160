// Records what matters on several ports at once: every ARP frame, every neighbour solicitation and advertisement, every
// VRRP advert, Koi's LAN datagrams, and every other frame whose Ethernet source is a VRRP virtual MAC.
//
//   record [--without-adverts] NETNS/INTERFACE/LABEL...
//
// One line per frame on stdout: "<CLOCK_MONOTONIC ns> <label> in|out <kind> <ethernet source> <ethernet destination> ..."
//   arp   <operation> <sender mac> <sender ip> <target mac> <target ip>
//   ndp   <type> <ip source> <target> <link-layer address, or ->
//   vrrp  <ip source> <ip destination> <ttl> <version> <vrid> <priority> <interval field>
//   koi   <frame length>
//   other <ethertype, hex>
// "in" is what the port received, "out" what it sent. "<ns> <label> - dropped <count>" says that the kernel lost frames
// before they could be judged. "<ns> - - ready" follows when every port is open, and "<ns> - - mark" on a line of stdin,
// after every frame that had come by then. Ends with the lab or when stdin closes.
#define _GNU_SOURCE
#include "netns.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>

#define MAX_PORTS 16
// Koi's own datagrams between masters.
#define NOTICE_PORT 28112
// Where the filter takes an advert, and how it leaves one out.
#define ADVERT_AT 4
#define ADVERT_LEFT_OUT 14
#define SOLICITATION 135
#define ADVERTISEMENT 136

// Everything else (the probes, 2,000 frames a second) stays in the kernel.
static struct sock_filter program[] = {
    BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_ARP, 18, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 5),
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 23),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 112, 15, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 8),
    BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 36),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NOTICE_PORT, 12, 6),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IPV6, 0, 5),
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 20),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ICMPV6, 0, 3),
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 54),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SOLICITATION, 7, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ADVERTISEMENT, 6, 0),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 6),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x00005e00, 0, 3),
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 10),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x01, 2, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, 0),
    BPF_STMT(BPF_RET | BPF_K, 256),
};

static const char *mac(const unsigned char *m) {
  static char texts[4][18];
  static int next;
  char *text = texts[next++ % 4];
  snprintf(text, 18, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
  return text;
}

static const char *ip(const unsigned char *a) {
  static char texts[4][16];
  static int next;
  char *text = texts[next++ % 4];
  snprintf(text, 16, "%u.%u.%u.%u", a[0], a[1], a[2], a[3]);
  return text;
}

static void print_frame(uint64_t ns, const char *label, int out, const unsigned char *f, size_t length) {
  unsigned type = (unsigned)f[12] << 8 | f[13];
  printf("%llu %s %s ", (unsigned long long)ns, label, out ? "out" : "in");
  if (type == ETH_P_ARP && length >= 42 && f[14] == 0 && f[15] == 1 && f[16] == 8 && f[17] == 0) {
    printf("arp %s %s %u %s %s %s %s\n", mac(f + 6), mac(f), (unsigned)f[20] << 8 | f[21], mac(f + 22), ip(f + 28),
           mac(f + 32), ip(f + 38));
    return;
  }
  if (type == ETH_P_IPV6 && length >= 78 && f[20] == IPPROTO_ICMPV6 && (f[54] == SOLICITATION || f[54] == ADVERTISEMENT)) {
    char source[INET6_ADDRSTRLEN], target[INET6_ADDRSTRLEN];
    inet_ntop(AF_INET6, f + 22, source, sizeof source);
    inet_ntop(AF_INET6, f + 62, target, sizeof target);
    const unsigned char *option = f + 78;
    unsigned wanted = f[54] == SOLICITATION ? 1 : 2;
    while (option + 8 <= f + length && option[0] != wanted && option[1] > 0) option += option[1] * 8;
    int found = option + 8 <= f + length && option[0] == wanted;
    printf("ndp %s %s %u %s %s %s\n", mac(f + 6), mac(f), f[54], source, target, found ? mac(option + 2) : "-");
    return;
  }
  size_t header = type == ETH_P_IP && length >= 34 ? (size_t)(f[14] & 15) * 4 : 0;
  if (header >= 20 && f[23] == 112 && length >= 14 + header + 8) {
    const unsigned char *v = f + 14 + header;
    // Version 2 keeps its interval in whole seconds behind the authentication type.
    unsigned interval = v[0] >> 4 == 2 ? v[5] : ((unsigned)(v[4] & 15) << 8 | v[5]);
    printf("vrrp %s %s %s %s %u %u %u %u %u\n", mac(f + 6), mac(f), ip(f + 26), ip(f + 30), f[22], v[0] >> 4, v[1], v[2],
           interval);
    return;
  }
  if (header == 20 && f[23] == IPPROTO_UDP && length >= 42 && ((unsigned)f[36] << 8 | f[37]) == NOTICE_PORT) {
    printf("koi %s %s %zu\n", mac(f + 6), mac(f), length);
    return;
  }
  printf("other %s %s %04x\n", mac(f + 6), mac(f), type);
}

static void report(int sock, const char *label) {
  for (;;) {
    unsigned char frame[256];
    char control[128];
    struct sockaddr_ll from;
    struct iovec iov = {frame, sizeof frame};
    struct msghdr message = {.msg_name = &from,
                             .msg_namelen = sizeof from,
                             .msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    ssize_t length = recvmsg(sock, &message, MSG_DONTWAIT);
    if (length < 0 && (errno == EAGAIN || errno == EINTR || errno == ENETDOWN)) return;
    if (length < 0) die(label);
    if (length < 14) continue;
    uint64_t ns = monotonic_ns();
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c)) {
      if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS) continue;
      struct timespec real;
      memcpy(&real, CMSG_DATA(c), sizeof real);
      ns = monotonic_of(&real);
    }
    print_frame(ns, label, from.sll_pkttype == PACKET_OUTGOING, frame, (size_t)length);
  }
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "--without-adverts") == 0) {
    program[ADVERT_AT].jt = ADVERT_LEFT_OUT;
    argc--;
    argv++;
  }
  int count = argc - 1;
  if (count < 1 || count > MAX_PORTS) {
    fprintf(stderr, "usage: record [--without-adverts] NETNS/INTERFACE/LABEL...\n");
    return 2;
  }
  struct pollfd waits[MAX_PORTS + 1];
  const char *labels[MAX_PORTS];
  for (int i = 0; i < count; i++) {
    char *netns = strtok(argv[i + 1], "/");
    char *interface = strtok(NULL, "/");
    char *label = strtok(NULL, "/");
    if (netns == NULL || interface == NULL || label == NULL) {
      fprintf(stderr, "usage: record NETNS/INTERFACE/LABEL...\n");
      return 2;
    }
    labels[i] = label;
    int home = enter_netns(netns);
    // Protocol 0 receives nothing until the filter is in place, so that no unfiltered frame slips in.
    int sock = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (sock < 0) die("packet socket");
    struct sock_fprog filter = {sizeof program / sizeof *program, program};
    int on = 1;
    int buffer = 16 << 20;
    if (setsockopt(sock, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) != 0) die("filter");
    setsockopt(sock, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
    struct sockaddr_ll port = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(interface)};
    if (port.sll_ifindex == 0 || bind(sock, (struct sockaddr *)&port, sizeof port) != 0) die(interface);
    leave_netns(home);
    waits[i] = (struct pollfd){.fd = sock, .events = POLLIN};
  }
  settle_process(0);
  printf("%llu - - ready\n", (unsigned long long)monotonic_ns());
  waits[count] = (struct pollfd){.fd = 0, .events = POLLIN};
  for (;;) {
    int ready = poll(waits, (nfds_t)count + 1, 1000);
    int asked = 0;
    if (ready > 0 && waits[count].revents) {
      char ignored;
      if (read(0, &ignored, 1) <= 0) return 0;
      asked = 1;
    }
    for (int i = 0; i < count; i++) {
      if (asked || (ready > 0 && waits[i].revents)) report(waits[i].fd, labels[i]);
      struct tpacket_stats stats;
      socklen_t size = sizeof stats;
      if (getsockopt(waits[i].fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size) == 0 && stats.tp_drops > 0) {
        printf("%llu %s - dropped %u\n", (unsigned long long)monotonic_ns(), labels[i], stats.tp_drops);
      }
    }
    if (asked) printf("%llu - - mark\n", (unsigned long long)monotonic_ns());
  }
}
