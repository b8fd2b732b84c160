// The lab's prober: one ICMP echo a millisecond through the client's own stack, on an absolute schedule.
//
//   probe NETNS ADDRESS [PERIOD_US]
//
// Writes 16-byte records (host byte order) to stdout: u64 (sequence << 1 | kind), u64 CLOCK_MONOTONIC ns,
// kind 0 = sent, 1 = answered (the kernel's receive time). Ends with the lab or when stdin closes.
#define _GNU_SOURCE
#include "netns.h"

#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <pthread.h>
#include <stdatomic.h>

#ifndef ICMP_FILTER
#define ICMP_FILTER 1
#endif

struct record {
  uint64_t tag;
  uint64_t ns;
};

// One writer and one reader each: the sender and the receiver never wait for the pipe.
#define RING (1u << 18)
struct ring {
  struct record records[RING];
  _Atomic uint32_t head, tail;
};

struct echo {
  struct icmphdr icmp;
  uint64_t magic;
  uint64_t sequence;
};

static struct ring sent, answered;
static int sock;
static struct sockaddr_in target;
static uint64_t magic;
static uint64_t period_ns = 1000000;

static void push(struct ring *ring, uint64_t tag, uint64_t ns) {
  uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
  if (head - atomic_load_explicit(&ring->tail, memory_order_acquire) == RING) {
    fprintf(stderr, "probe: the lab does not read its records\n");
    _exit(1);
  }
  ring->records[head % RING] = (struct record){tag, ns};
  atomic_store_explicit(&ring->head, head + 1, memory_order_release);
}

static uint32_t head_of(struct ring *ring) { return atomic_load_explicit(&ring->head, memory_order_acquire); }

static void flush_ring(struct ring *ring, uint32_t head) {
  uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
  while (tail != head) {
    uint32_t at = tail % RING;
    uint32_t count = head - tail;
    if (count > RING - at) count = RING - at;
    const char *bytes = (const char *)&ring->records[at];
    size_t left = count * sizeof(struct record);
    while (left > 0) {
      ssize_t n = write(1, bytes, left);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) _exit(0);
      bytes += n;
      left -= (size_t)n;
    }
    tail += count;
    atomic_store_explicit(&ring->tail, tail, memory_order_release);
  }
}

static uint16_t checksum(const void *data, size_t length) {
  const uint16_t *words = data;
  uint32_t sum = 0;
  for (size_t i = 0; i < length / 2; i++) sum += words[i];
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)~sum;
}

static void *send_loop(void *unused) {
  (void)unused;
  struct sched_param p = {.sched_priority = 40};
  (void)sched_setscheduler(0, SCHED_FIFO, &p);
  uint64_t due = monotonic_ns() + period_ns;
  for (uint64_t sequence = 1;; sequence++) {
    struct timespec at = {.tv_sec = (time_t)(due / 1000000000ull), .tv_nsec = (long)(due % 1000000000ull)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR) {
    }
    struct echo echo = {
        .icmp = {.type = ICMP_ECHO, .un.echo = {htons((uint16_t)getpid()), htons((uint16_t)sequence)}},
        .magic = magic,
        .sequence = sequence,
    };
    echo.icmp.checksum = checksum(&echo, sizeof echo);
    // The stamp is taken before the send: the answer comes back inside the system call on a veth.
    uint64_t now = monotonic_ns();
    push(&sent, sequence << 1, now);
    (void)sendto(sock, &echo, sizeof echo, MSG_DONTWAIT, (struct sockaddr *)&target, sizeof target);
    due += period_ns;
    // After a pause the missed probes are skipped, not sent as a burst which no client would send.
    if (now > due) due += ((now - due) / period_ns + 1) * period_ns;
  }
  return NULL;
}

static void *receive_loop(void *unused) {
  (void)unused;
  for (;;) {
    unsigned char packet[256];
    char control[128];
    struct iovec iov = {packet, sizeof packet};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(sock, &message, 0);
    uint64_t now = monotonic_ns();
    if (n < (ssize_t)sizeof(struct iphdr)) continue;
    const struct iphdr *ip = (const struct iphdr *)packet;
    size_t header = (size_t)ip->ihl * 4;
    if ((size_t)n < header + sizeof(struct echo) || ip->saddr != target.sin_addr.s_addr) continue;
    struct echo echo;
    memcpy(&echo, packet + header, sizeof echo);
    if (echo.icmp.type != ICMP_ECHOREPLY || echo.magic != magic) continue;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c)) {
      if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS) continue;
      struct timespec real;
      memcpy(&real, CMSG_DATA(c), sizeof real);
      now = monotonic_of(&real);
    }
    push(&answered, echo.sequence << 1 | 1, now);
  }
  return NULL;
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: probe NETNS ADDRESS [PERIOD_US]\n");
    return 2;
  }
  if (argc > 3) period_ns = strtoull(argv[3], NULL, 10) * 1000;
  target.sin_family = AF_INET;
  if (inet_pton(AF_INET, argv[2], &target.sin_addr) != 1 || period_ns == 0) {
    fprintf(stderr, "probe: %s is not an IPv4 address, or the period is not a number\n", argv[2]);
    return 2;
  }
  int home = enter_netns(argv[1]);
  magic = monotonic_ns() ^ ((uint64_t)getpid() << 48);
  sock = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
  if (sock < 0) die("raw ICMP socket");
  leave_netns(home);
  settle_process(0);
  uint32_t only_replies = ~(1u << ICMP_ECHOREPLY);
  int on = 1;
  int buffer = 4 << 20;
  setsockopt(sock, SOL_RAW, ICMP_FILTER, &only_replies, sizeof only_replies);
  setsockopt(sock, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
  setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
  setsockopt(sock, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer);

  pthread_t receiver, sender;
  if (pthread_create(&receiver, NULL, receive_loop, NULL) != 0) die("thread");
  if (pthread_create(&sender, NULL, send_loop, NULL) != 0) die("thread");

  struct pollfd lab = {.fd = 0, .events = POLLIN};
  for (;;) {
    if (poll(&lab, 1, 5) > 0) {
      char ignored;
      if (read(0, &ignored, 1) <= 0) return 0;
    }
    // Read in this order, no answer is written before its probe.
    uint32_t answers = head_of(&answered);
    flush_ring(&sent, head_of(&sent));
    flush_ring(&answered, answers);
  }
}
