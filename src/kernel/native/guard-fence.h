/* What the guard does to the kernel and the wire. The sockets are opened at start, when errors can still be told. */
#ifndef KOI_GUARD_FENCE_H
#define KOI_GUARD_FENCE_H

#include <stdint.h>

struct fence_addresses {
  unsigned sent;
  unsigned absent; /* were gone already: EADDRNOTAVAIL, ENODEV */
  unsigned failed;
  int error; /* the first errno of `failed` */
};

struct fence_adverts {
  unsigned sent;
  unsigned failed;
  int error;
};

/* 0, or the errno; `what` then names the step. EPERM means CAP_NET_RAW or CAP_NET_ADMIN is missing. */
int fence_open(const char **what);

/* RTM_DELADDR for every registered address of `vr` (or GUARD_ALL_VRS), many in one sendmsg. rtnetlink(7) */
struct fence_addresses fence_addresses_off(uint16_t vr);

/* Sends the prepared frames of `vr` (or GUARD_ALL_VRS): as they are, packet(7), or what is in them routed, raw(7). */
struct fence_adverts fence_send_adverts(uint16_t vr);

/*
 * Deletes all links of the group, in one message for each namespace: 0 or the errno (ENODEV where the group is empty). The kernel refuses the
 * whole with EOPNOTSUPP when the group holds a link that cannot be deleted, and group 0 is never touched.
 */
int fence_delete_group(uint32_t group);

#endif
