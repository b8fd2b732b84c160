// Spoils the neighbour caches of several namespaces, again and again, so that every answer about a VIP is asked for anew.
//
//   flush PERIOD_MS NETNS...
//
// An entry is set to failed, not deleted: deleting them, the lab lost a probe now and then with nothing else amiss,
// presumably the packet that had just found its entry. Entries that are still being resolved stay: the packets waiting
// in them are the client's. Permanent ones stay too.
// Ends with the lab or when stdin closes.
#define _GNU_SOURCE
#include "netns.h"

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#define MAX_NAMESPACES 16
#define MAX_ENTRIES 256

struct change {
  struct nlmsghdr header;
  struct ndmsg entry;
  struct rtattr attribute;
  unsigned char address[16];
};

static size_t collect(int sock, struct change *out) {
  // Of a number of its own: an answer to an earlier change must not be taken for the end of this dump.
  static unsigned sequence = 1;
  sequence++;
  struct {
    struct nlmsghdr header;
    struct ndmsg entry;
  } request = {
      .header = {sizeof request, RTM_GETNEIGH, NLM_F_REQUEST | NLM_F_DUMP, sequence, 0},
      .entry = {.ndm_family = AF_INET},
  };
  if (send(sock, &request, sizeof request, 0) < 0) die("neighbour dump");
  size_t count = 0;
  for (;;) {
    static char buffer[1 << 16];
    ssize_t length = recv(sock, buffer, sizeof buffer, 0);
    if (length < 0) die("neighbour dump");
    int left = (int)length;
    for (struct nlmsghdr *h = (struct nlmsghdr *)buffer; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
      if (h->nlmsg_seq != sequence) continue;
      if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR) return count;
      struct ndmsg *entry = NLMSG_DATA(h);
      if (!(entry->ndm_state & (NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE))) continue;
      int room = (int)(h->nlmsg_len - NLMSG_LENGTH(sizeof *entry));
      for (struct rtattr *a = (struct rtattr *)(entry + 1); RTA_OK(a, room); a = RTA_NEXT(a, room)) {
        if (a->rta_type != NDA_DST || RTA_PAYLOAD(a) != 4 || count == MAX_ENTRIES) continue;
        struct change *d = &out[count++];
        memset(d, 0, sizeof *d);
        d->header = (struct nlmsghdr){NLMSG_LENGTH(sizeof *entry) + RTA_LENGTH(4), RTM_NEWNEIGH, NLM_F_REQUEST | NLM_F_REPLACE, 0, 0};
        d->entry = (struct ndmsg){.ndm_family = AF_INET, .ndm_ifindex = entry->ndm_ifindex, .ndm_state = NUD_FAILED};
        d->attribute = (struct rtattr){RTA_LENGTH(4), NDA_DST};
        memcpy(d->address, RTA_DATA(a), 4);
      }
    }
  }
}

int main(int argc, char **argv) {
  int count = argc - 2;
  if (count < 1 || count > MAX_NAMESPACES) {
    fprintf(stderr, "usage: flush PERIOD_MS NETNS...\n");
    return 2;
  }
  int period = atoi(argv[1]);
  int sockets[MAX_NAMESPACES];
  for (int i = 0; i < count; i++) {
    int home = enter_netns(argv[i + 2]);
    sockets[i] = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (sockets[i] < 0) die("netlink socket");
    leave_netns(home);
  }
  settle_process(0);
  struct pollfd lab = {.fd = 0, .events = POLLIN};
  for (;;) {
    if (poll(&lab, 1, period) > 0) {
      char ignored;
      if (read(0, &ignored, 1) <= 0) return 0;
    }
    for (int i = 0; i < count; i++) {
      static struct change changes[MAX_ENTRIES];
      size_t found = collect(sockets[i], changes);
      for (size_t k = 0; k < found; k++) {
        // An entry that vanished meanwhile answers with an error; the next dump passes over it.
        (void)send(sockets[i], &changes[k], changes[k].header.nlmsg_len, 0);
      }
    }
  }
}
