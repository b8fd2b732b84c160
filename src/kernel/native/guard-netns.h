/* The network namespaces that hold registered addresses, if it is not our own: each with its route netlink socket. */
#ifndef KOI_GUARD_NETNS_H
#define KOI_GUARD_NETNS_H

#include <stddef.h>
#include <stdint.h>

#define GUARD_NETNS_MAX 64
/* The namespace this process runs in. */
#define GUARD_NETNS_OWN 0xff

/* 0, or the errno. */
int netns_open_own(void);

/*
 * Finds the namespace that has this name now, or this path, which begins with a slash, and counts one user more; opens it for the first. GUARD_NETNS_OWN for an empty
 * name, or a negative errno: ENOENT where there is none, EPERM without CAP_SYS_ADMIN, ENFILE where there are too many.
 */
int netns_acquire(const uint8_t *name, size_t length);

/* One user less. With the last its socket is closed: a socket would keep a deleted namespace, and its links, alive. */
void netns_release(int netns);

/* The socket of a namespace in use, our own among them; -1 where `netns` is not in use. */
int netns_socket(int netns);

#endif
