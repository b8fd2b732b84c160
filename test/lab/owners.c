// Says, as it happens, which namespaces hold an IPv4 address.
//
//   owners NETNS...
//
// One line per change on stdout: "<CLOCK_MONOTONIC ns> <netns> add|remove <ifindex> <address>"; first what is there
// already, then "<ns> - ready 0 -". Ends with the lab or when stdin closes; an overflow is an error, never silent.
#define _GNU_SOURCE
#include "netns.h"

#include <arpa/inet.h>
#include <linux/rtnetlink.h>

#define MAX_NAMESPACES 16

/// Prints the changes waiting in the socket; returns whether the end of a dump was among them.
static int report(int sock, const char *name, int wait) {
  static char buffer[1 << 16];
  ssize_t length = recv(sock, buffer, sizeof buffer, wait ? 0 : MSG_DONTWAIT);
  uint64_t now = monotonic_ns();
  if (length < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  if (length < 0) die(name);
  int done = 0;
  int left = (int)length;
  for (struct nlmsghdr *h = (struct nlmsghdr *)buffer; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
    if (h->nlmsg_type == NLMSG_DONE) done = 1;
    if (h->nlmsg_type != RTM_NEWADDR && h->nlmsg_type != RTM_DELADDR) continue;
    struct ifaddrmsg *address = NLMSG_DATA(h);
    int room = (int)(h->nlmsg_len - NLMSG_LENGTH(sizeof *address));
    for (struct rtattr *a = (struct rtattr *)(address + 1); RTA_OK(a, room); a = RTA_NEXT(a, room)) {
      if (a->rta_type != IFA_LOCAL || RTA_PAYLOAD(a) != 4) continue;
      char text[INET_ADDRSTRLEN];
      inet_ntop(AF_INET, RTA_DATA(a), text, sizeof text);
      printf("%llu %s %s %u %s\n", (unsigned long long)now, name, h->nlmsg_type == RTM_NEWADDR ? "add" : "remove",
             address->ifa_index, text);
    }
  }
  return done;
}

int main(int argc, char **argv) {
  int count = argc - 1;
  if (count < 1 || count > MAX_NAMESPACES) {
    fprintf(stderr, "usage: owners NETNS...\n");
    return 2;
  }
  struct pollfd waits[MAX_NAMESPACES + 1];
  for (int i = 0; i < count; i++) {
    int home = enter_netns(argv[i + 1]);
    int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    struct sockaddr_nl self = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_IPV4_IFADDR};
    int buffer = 4 << 20;
    if (sock < 0 || bind(sock, (struct sockaddr *)&self, sizeof self) != 0) die("netlink socket");
    setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
    leave_netns(home);
    waits[i] = (struct pollfd){.fd = sock, .events = POLLIN};
  }
  settle_process(30);
  for (int i = 0; i < count; i++) {
    struct {
      struct nlmsghdr header;
      struct ifaddrmsg address;
    } request = {
        .header = {sizeof request, RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, 1, 0},
        .address = {.ifa_family = AF_INET},
    };
    if (send(waits[i].fd, &request, sizeof request, 0) < 0) die("address dump");
    while (!report(waits[i].fd, argv[i + 1], 1)) {
    }
  }
  printf("%llu - ready 0 -\n", (unsigned long long)monotonic_ns());
  waits[count] = (struct pollfd){.fd = 0, .events = POLLIN};
  for (;;) {
    if (poll(waits, (nfds_t)count + 1, -1) < 0) continue;
    if (waits[count].revents) {
      char ignored;
      if (read(0, &ignored, 1) <= 0) return 0;
    }
    for (int i = 0; i < count; i++) {
      if (waits[i].revents) report(waits[i].fd, argv[i + 1], 0);
    }
  }
}
