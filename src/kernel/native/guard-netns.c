#include "guard-netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guard-protocol.h"

#define SOCKET_BUFFER_BYTES (2 * 1024 * 1024)

struct guard_netns {
  unsigned users;
  int socket;
  ino_t inode;
  char name[GUARD_NETNS_BYTES_MAX + 1];
};

static struct guard_netns namespaces[GUARD_NETNS_MAX];
static int own_namespace = -1;
static int own_socket = -1;

static int open_socket(void) {
  int bytes = SOCKET_BUFFER_BYTES;
  int on = 1;
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return -errno;
  /* Best effort: a user namespace refuses it, and the default buffers serve all but the largest registrations. */
  (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
  (void)setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  return fd;
}

int netns_open_own(void) {
  own_namespace = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (own_namespace < 0) return errno;
  own_socket = open_socket();
  return own_socket < 0 ? -own_socket : 0;
}

/* A socket belongs to the namespace it is opened in, so this thread, the only one, is there for one system call. */
static int open_socket_in(int netns) {
  if (setns(netns, CLONE_NEWNET) != 0) return -errno;
  int fd = open_socket();
  /* Elsewhere for ever, it would take the wrong addresses off: better none. */
  if (setns(own_namespace, CLONE_NEWNET) != 0) _exit(GUARD_EXIT_UNUSABLE);
  return fd;
}

static int take(struct guard_netns *entry, const char *name, int netns, ino_t inode) {
  int fd = open_socket_in(netns);
  if (fd < 0) return fd;
  entry->users = 1;
  entry->socket = fd;
  entry->inode = inode;
  strcpy(entry->name, name);
  return (int)(entry - namespaces);
}

int netns_acquire(const uint8_t *name, size_t length) {
  if (length == 0) return GUARD_NETNS_OWN;
  char text[GUARD_NETNS_BYTES_MAX + 1];
  char path[sizeof "/run/netns/" + GUARD_NETNS_BYTES_MAX];
  if (length > GUARD_NETNS_BYTES_MAX || memchr(name, 0, length) != NULL) return -EINVAL;
  if (name[0] != '/' && memchr(name, '/', length) != NULL) return -EINVAL;
  memcpy(text, name, length);
  text[length] = '\0';
  snprintf(path, sizeof path, "%s%s", text[0] == '/' ? "" : "/run/netns/", text);
  int netns = open(path, O_RDONLY | O_CLOEXEC);
  if (netns < 0) return -errno;
  struct stat status;
  int result = fstat(netns, &status) == 0 ? -ENFILE : -errno;
  struct guard_netns *free_entry = NULL;
  for (int i = 0; i < GUARD_NETNS_MAX && result == -ENFILE; i++) {
    struct guard_netns *entry = &namespaces[i];
    if (entry->users == 0) {
      if (free_entry == NULL) free_entry = entry;
    } else if (entry->inode == status.st_ino && strcmp(entry->name, text) == 0) {
      entry->users++;
      result = i;
    }
  }
  if (result == -ENFILE && free_entry != NULL) result = take(free_entry, text, netns, status.st_ino);
  close(netns);
  return result;
}

void netns_release(int netns) {
  if (netns < 0 || netns >= GUARD_NETNS_MAX || namespaces[netns].users == 0) return;
  if (--namespaces[netns].users > 0) return;
  close(namespaces[netns].socket);
  namespaces[netns].socket = -1;
}

int netns_socket(int netns) {
  if (netns == GUARD_NETNS_OWN) return own_socket;
  return netns >= 0 && netns < GUARD_NETNS_MAX && namespaces[netns].users > 0 ? namespaces[netns].socket : -1;
}
