// Says how late the VRRP adverts are that ports receive: for each virtual router, by how much more than one interval
// each advert comes after the one before it.
//
//   gaps INTERVAL_US NETNS/INTERFACE/LABEL...
//
// "- ready" on stdout when every port is open. Each line on stdin asks for one line of each port about what came since the
// last one: "<label> <adverts> <p50> <p99> <p99.9> <worst> <dropped>", lateness in microseconds, nothing below 0; dropped
// frames are those that the kernel lost before they could be judged. Times are the kernel's, of when the frame came.
// Frames of one virtual router that come within half an interval are one advert, in two forms of checksum.
#define _GNU_SOURCE
#include "netns.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>

#define MAX_PORTS 16
#define MAX_SAMPLES (4u << 20)

struct port {
  const char *label;
  int sock;
  uint64_t last[256];
  uint32_t *late;
  size_t count;
};

// Adverts that the port received: the socket sees what the port sends, too.
static struct sock_filter program[] = {
    BPF_STMT(BPF_LD | BPF_H | BPF_ABS, SKF_AD_OFF + SKF_AD_PKTTYPE),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, 4, 0),
    BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 2),
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 23),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 112, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, 0),
    BPF_STMT(BPF_RET | BPF_K, 64),
};

static void note(struct port *port, unsigned id, uint64_t ns, uint64_t interval_ns) {
  uint64_t before = port->last[id];
  if (before != 0 && ns - before < interval_ns / 2) return;
  port->last[id] = ns;
  if (before == 0 || port->count >= MAX_SAMPLES) return;
  uint64_t gap = ns - before;
  uint64_t late_us = gap <= interval_ns ? 0 : (gap - interval_ns) / 1000;
  port->late[port->count++] = late_us > UINT32_MAX ? UINT32_MAX : (uint32_t)late_us;
}

static void take(struct port *port, uint64_t interval_ns) {
  for (;;) {
    unsigned char frame[64];
    char control[128];
    struct iovec iov = {frame, sizeof frame};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t length = recvmsg(port->sock, &message, MSG_DONTWAIT);
    if (length < 0 && (errno == EAGAIN || errno == EINTR || errno == ENETDOWN)) return;
    if (length < 0) die(port->label);
    size_t header = length >= 34 ? (size_t)(frame[14] & 15) * 4 : 0;
    if (header < 20 || (size_t)length < 14 + header + 2) continue;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c)) {
      if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS) continue;
      struct timespec real;
      memcpy(&real, CMSG_DATA(c), sizeof real);
      // Differences alone matter: the realtime clock will do.
      note(port, frame[14 + header + 1], (uint64_t)real.tv_sec * 1000000000ull + (uint64_t)real.tv_nsec, interval_ns);
    }
  }
}

static int by_size(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

static uint32_t quantile(const struct port *port, double share) {
  if (port->count == 0) return 0;
  size_t at = (size_t)(share * (double)port->count);
  return port->late[at < port->count ? at : port->count - 1];
}

static void report(struct port *port) {
  struct tpacket_stats stats = {0};
  socklen_t size = sizeof stats;
  getsockopt(port->sock, SOL_PACKET, PACKET_STATISTICS, &stats, &size);
  qsort(port->late, port->count, sizeof *port->late, by_size);
  printf("%s %zu %u %u %u %u %u\n", port->label, port->count, quantile(port, 0.5), quantile(port, 0.99),
         quantile(port, 0.999), quantile(port, 1), stats.tp_drops);
  port->count = 0;
  // Between two measurements an advert may be missing that nobody waited for.
  memset(port->last, 0, sizeof port->last);
}

int main(int argc, char **argv) {
  int count = argc - 2;
  if (count < 1 || count > MAX_PORTS) {
    fprintf(stderr, "usage: gaps INTERVAL_US NETNS/INTERFACE/LABEL...\n");
    return 2;
  }
  uint64_t interval_ns = strtoull(argv[1], NULL, 10) * 1000;
  static struct port ports[MAX_PORTS];
  struct pollfd waits[MAX_PORTS + 1];
  for (int i = 0; i < count; i++) {
    char *netns = strtok(argv[i + 2], "/");
    char *interface = strtok(NULL, "/");
    char *label = strtok(NULL, "/");
    if (netns == NULL || interface == NULL || label == NULL) return 2;
    int home = enter_netns(netns);
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
    // Untouched pages cost nothing; none may be added while adverts come.
    ports[i] = (struct port){.label = label, .sock = sock, .late = malloc(MAX_SAMPLES * sizeof(uint32_t))};
    if (ports[i].late == NULL) die("memory for the samples");
    waits[i] = (struct pollfd){.fd = sock, .events = POLLIN};
  }
  settle_process(0);
  printf("- ready\n");
  waits[count] = (struct pollfd){.fd = 0, .events = POLLIN};
  for (;;) {
    if (poll(waits, (nfds_t)count + 1, -1) < 0) continue;
    for (int i = 0; i < count; i++) {
      if (waits[i].revents) take(&ports[i], interval_ns);
    }
    if (waits[count].revents) {
      char asked[64];
      if (read(0, asked, sizeof asked) <= 0) return 0;
      for (int i = 0; i < count; i++) report(&ports[i]);
    }
  }
}
