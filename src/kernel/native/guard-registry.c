#include "guard-registry.h"

#include <string.h>

#define ADDRESS_BYTES 24
#define ADVERT_HEADER_BYTES 8
#define ETHERNET_HEADER_BYTES 14

struct guard_vr guard_vrs[GUARD_VRS_MAX];
struct guard_address guard_addresses[GUARD_ADDRESSES_MAX];
struct guard_advert guard_adverts[GUARD_ADVERTS_MAX];
unsigned guard_adverts_end;

void registry_init(void) {
  memset(guard_vrs, 0, sizeof guard_vrs);
  for (unsigned i = 0; i < GUARD_VRS_MAX; i++) guard_vrs[i].netns = GUARD_NETNS_OWN;
  for (unsigned i = 0; i < GUARD_ADDRESSES_MAX; i++) guard_addresses[i].vr = GUARD_ENTRY_FREE;
  for (unsigned i = 0; i < GUARD_ADVERTS_MAX; i++) guard_adverts[i].vr = GUARD_ENTRY_FREE;
  guard_adverts_end = 0;
}

/* Names end up in a JSON line: what would need escaping is replaced, so that the writer can stay a printf. */
static void keep_name(struct guard_vr *vr, const uint8_t *name, size_t length) {
  for (size_t i = 0; i < length; i++) {
    uint8_t c = name[i];
    vr->name[i] = (c < 0x20 || c > 0x7e || c == '"' || c == '\\') ? '?' : (char)c;
  }
  vr->name[length] = '\0';
}

static bool address_is_valid(const uint8_t *at) {
  uint8_t family = at[4];
  uint8_t prefix_length = at[5];
  return read_u32(at) != 0 && read_u32(at) <= INT32_MAX && ((family == 4 && prefix_length <= 32) || (family == 6 && prefix_length <= 128));
}

/*
 * The whole payload is judged before the first entry changes: a VR is never half registered.
 * Returns GUARD_OK and the place of the adverts, or the refusal.
 */
static uint8_t judge_put(const uint8_t *payload, size_t length, size_t *adverts_at) {
  if (length < 8) return GUARD_MALFORMED;
  uint16_t vr = read_u16(payload);
  size_t address_count = read_u16(payload + 2);
  size_t advert_count = read_u16(payload + 4);
  size_t name_length = payload[6];
  if (vr >= GUARD_VRS_MAX || name_length > GUARD_NAME_BYTES_MAX) return GUARD_MALFORMED;

  size_t at = 8 + name_length + payload[7];
  if (at > length || (length - at) / ADDRESS_BYTES < address_count) return GUARD_MALFORMED;
  for (size_t i = 0; i < address_count; i++, at += ADDRESS_BYTES) {
    if (!address_is_valid(payload + at)) return GUARD_MALFORMED;
  }
  *adverts_at = at;
  for (size_t i = 0; i < advert_count; i++) {
    if (length - at < ADVERT_HEADER_BYTES) return GUARD_MALFORMED;
    uint32_t ifindex = read_u32(payload + at);
    size_t frame_length = read_u16(payload + at + 4);
    if (frame_length > GUARD_ADVERT_BYTES_MAX) return GUARD_ADVERT_TOO_LONG;
    if (ifindex == 0 || ifindex > INT32_MAX || frame_length < ETHERNET_HEADER_BYTES) return GUARD_MALFORMED;
    if (read_u16(payload + at + 6) > 1) return GUARD_MALFORMED;
    at += ADVERT_HEADER_BYTES;
    if (length - at < frame_length) return GUARD_MALFORMED;
    at += frame_length;
  }
  if (at != length) return GUARD_MALFORMED;

  size_t room = 0;
  for (unsigned i = 0; i < GUARD_ADDRESSES_MAX; i++) {
    room += guard_addresses[i].vr == GUARD_ENTRY_FREE || guard_addresses[i].vr == vr;
  }
  if (room < address_count) return GUARD_TOO_MANY_ADDRESSES;
  room = GUARD_ADVERTS_MAX - guard_adverts_end;
  for (unsigned i = 0; i < guard_adverts_end; i++) {
    room += guard_adverts[i].vr == GUARD_ENTRY_FREE || guard_adverts[i].vr == vr;
  }
  return room < advert_count ? GUARD_TOO_MANY_ADVERTS : GUARD_OK;
}

static void free_entries(uint16_t vr) {
  for (unsigned i = 0; i < GUARD_ADDRESSES_MAX; i++) {
    if (guard_addresses[i].vr == vr) guard_addresses[i].vr = GUARD_ENTRY_FREE;
  }
  for (unsigned i = 0; i < guard_adverts_end; i++) {
    if (guard_adverts[i].vr == vr) guard_adverts[i].vr = GUARD_ENTRY_FREE;
  }
  while (guard_adverts_end > 0 && guard_adverts[guard_adverts_end - 1].vr == GUARD_ENTRY_FREE) guard_adverts_end--;
}

uint8_t registry_put(const uint8_t *payload, size_t length) {
  size_t at = 0;
  uint8_t status = judge_put(payload, length, &at);
  if (status != GUARD_OK) return status;

  uint16_t vr = read_u16(payload);
  uint16_t address_count = read_u16(payload + 2);
  uint16_t advert_count = read_u16(payload + 4);
  int netns = netns_acquire(payload + 8 + payload[6], payload[7]);
  if (netns < 0) return GUARD_NAMESPACE_UNUSABLE;
  free_entries(vr);
  netns_release(guard_vrs[vr].netns);
  guard_vrs[vr].netns = netns;

  const uint8_t *from = payload + 8 + payload[6] + payload[7];
  for (unsigned slot = 0; address_count > 0 && slot < GUARD_ADDRESSES_MAX; slot++) {
    struct guard_address *address = &guard_addresses[slot];
    if (address->vr != GUARD_ENTRY_FREE) continue;
    address->ifindex = read_u32(from);
    address->family = from[4];
    address->prefix_length = from[5];
    memcpy(address->bytes, from + 8, sizeof address->bytes);
    address->vr = vr;
    from += ADDRESS_BYTES;
    address_count--;
  }

  from = payload + at;
  for (unsigned slot = 0; advert_count > 0 && slot < GUARD_ADVERTS_MAX; slot++) {
    struct guard_advert *advert = &guard_adverts[slot];
    if (advert->vr != GUARD_ENTRY_FREE) continue;
    advert->ifindex = read_u32(from);
    advert->length = read_u16(from + 4);
    advert->routed = read_u16(from + 6) == 1;
    memcpy(advert->frame, from + ADVERT_HEADER_BYTES, advert->length);
    advert->vr = vr;
    if (slot >= guard_adverts_end) guard_adverts_end = slot + 1;
    from += ADVERT_HEADER_BYTES + advert->length;
    advert_count--;
  }

  keep_name(&guard_vrs[vr], payload + 8, payload[6]);
  guard_vrs[vr].registered = true;
  if (guard_vrs[vr].ended) guard_vrs[vr].has_deadline = false;
  guard_vrs[vr].ended = false;
  return GUARD_OK;
}

uint8_t registry_drop(const uint8_t *payload, size_t length) {
  if (length != 4 || read_u16(payload) >= GUARD_VRS_MAX) return GUARD_MALFORMED;
  registry_forget(read_u16(payload));
  return GUARD_OK;
}

uint8_t registry_deadline(const uint8_t *payload, size_t length) {
  if (length != 12 || read_u16(payload) >= GUARD_VRS_MAX || read_u16(payload + 2) > 1) return GUARD_MALFORMED;
  struct guard_vr *vr = &guard_vrs[read_u16(payload)];
  if (!vr->registered) return GUARD_UNKNOWN_VR;
  if (vr->ended) return GUARD_LEASE_ENDED;
  vr->has_deadline = read_u16(payload + 2) == 1;
  vr->deadline_ns = read_u64(payload + 4);
  return GUARD_OK;
}

void registry_forget(uint16_t vr) {
  free_entries(vr);
  netns_release(guard_vrs[vr].netns);
  guard_vrs[vr].netns = GUARD_NETNS_OWN;
  guard_vrs[vr].registered = false;
  guard_vrs[vr].has_deadline = false;
  guard_vrs[vr].ended = false;
}

unsigned registry_count(void) {
  unsigned count = 0;
  for (unsigned i = 0; i < GUARD_VRS_MAX; i++) count += guard_vrs[i].registered;
  return count;
}

uint16_t registry_next_deadline(void) {
  uint16_t next = GUARD_ENTRY_FREE;
  for (uint16_t i = 0; i < GUARD_VRS_MAX; i++) {
    if (!guard_vrs[i].registered || !guard_vrs[i].has_deadline) continue;
    if (next == GUARD_ENTRY_FREE || guard_vrs[i].deadline_ns < guard_vrs[next].deadline_ns) next = i;
  }
  return next;
}

unsigned registry_mark_due(uint64_t now_ns, bool ended) {
  unsigned count = 0;
  for (uint16_t i = 0; i < GUARD_VRS_MAX; i++) {
    struct guard_vr *vr = &guard_vrs[i];
    vr->due = vr->registered && vr->has_deadline && vr->ended == ended && vr->deadline_ns <= now_ns;
    count += vr->due;
  }
  return count;
}
