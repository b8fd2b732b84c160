/* What the guard will take off: static tables, filled by the dataplane's commands, never larger than their bounds. */
#ifndef KOI_GUARD_REGISTRY_H
#define KOI_GUARD_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guard-netns.h"
#include "guard-protocol.h"

#define GUARD_ENTRY_FREE 0xffff
#define GUARD_ALL_VRS 0xfffe
#define GUARD_DUE_VRS 0xfffd

struct guard_address {
  uint32_t ifindex;
  uint16_t vr; /* slot, or GUARD_ENTRY_FREE */
  uint8_t family; /* 4 or 6 */
  uint8_t prefix_length;
  uint8_t bytes[16];
};

struct guard_advert {
  uint32_t ifindex;
  uint16_t vr; /* slot, or GUARD_ENTRY_FREE */
  uint16_t length;
  bool routed; /* only its IP packet, by the kernel's routes */
  uint8_t frame[GUARD_ADVERT_BYTES_MAX];
};

struct guard_vr {
  bool registered;
  bool has_deadline;
  bool ended; /* its lease has: nothing of it may stay until it is dropped or put again */
  bool due; /* marked by registry_mark_due */
  int netns; /* where its addresses are: GUARD_NETNS_OWN or a number of guard-netns.h */
  uint64_t deadline_ns; /* CLOCK_MONOTONIC */
  char name[GUARD_NAME_BYTES_MAX + 1];
};

extern struct guard_vr guard_vrs[GUARD_VRS_MAX];
extern struct guard_address guard_addresses[GUARD_ADDRESSES_MAX];
extern struct guard_advert guard_adverts[GUARD_ADVERTS_MAX];
/* From here on all are free: nobody looks through the whole table for the few that there are, as a rule. */
extern unsigned guard_adverts_end;

void registry_init(void);

/* Each takes a command's payload and returns a status of the protocol; a refused command changes nothing. */
uint8_t registry_put(const uint8_t *payload, size_t length);
uint8_t registry_drop(const uint8_t *payload, size_t length);
uint8_t registry_deadline(const uint8_t *payload, size_t length);

void registry_forget(uint16_t vr);
unsigned registry_count(void);
/* The slot whose deadline comes first, or GUARD_ENTRY_FREE where no VR has one. */
uint16_t registry_next_deadline(void);

/* Marks those whose deadline has come, of the ended or of the others, and no more; returns how many. */
unsigned registry_mark_due(uint64_t now_ns, bool ended);

static inline bool registry_selects(uint16_t selected, uint16_t entry) {
  if (entry == GUARD_ENTRY_FREE) return false;
  return selected == GUARD_ALL_VRS || (selected == GUARD_DUE_VRS && guard_vrs[entry].due);
}

static inline uint16_t read_u16(const uint8_t *at) { return (uint16_t)(at[0] | at[1] << 8); }
static inline uint32_t read_u32(const uint8_t *at) { return read_u16(at) | (uint32_t)read_u16(at + 2) << 16; }
static inline uint64_t read_u64(const uint8_t *at) { return read_u32(at) | (uint64_t)read_u32(at + 4) << 32; }

#endif
