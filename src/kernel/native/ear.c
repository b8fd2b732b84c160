/*
 * Adverts that are known octet for octet: a backup hears the same again and again, and has only to know when it did last.
 * They are counted here, with the time, and never reach the event loop, which is called when one has been silent for
 * too long. Nothing is decided: what is known was judged by the event loop before, and any other frame goes to it.
 *
 *     family, id ──►  advert │ its twin, the same in the other form of checksum
 */
#include "binding.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define IDS 256
#define PLACES (2 * IDS)
#define FORMS 2
#define IPV4_AT 14
#define IPV6_AT 14
#define IPV4_HEADER 20
#define IPV6_HEADER 40
#define VRRP 112

/* All times are milliseconds of the monotonic clock, as the event loop counts them. */
struct known {
  uint8_t *bytes; /* the frames, one after the other; NULL: nothing is here */
  size_t lengths[FORMS];
  uint32_t frames;
  double silence_ms, not_before_ms; /* it is due so long after it was heard last, and not before that */
  double twin_ms;                   /* the other form within this time says nothing new */
  double heard_ms;
  uint64_t adverts;          /* twins apart; this and the counts since they were asked for last */
  uint64_t counts[FORMS];
  double last_ms[FORMS];
  int32_t single; /* which form has no twin yet; -1: none waits for one */
  double single_ms;
};

struct koi_ear {
  struct known places[PLACES];
};

static uint32_t u16_at(const uint8_t *bytes) { return (uint32_t)bytes[0] << 8 | bytes[1]; }

/* Where an advert belongs, by family and id; -1: it is none. */
static int place_of(const uint8_t *frame, size_t length) {
  if (length < IPV4_AT + IPV4_HEADER + 8) return -1;
  uint32_t type = u16_at(frame + 12);
  if (type == 0x0800) {
    bool is_plain = frame[IPV4_AT] == 0x45 && frame[IPV4_AT + 9] == VRRP;
    return is_plain ? frame[IPV4_AT + IPV4_HEADER + 1] : -1;
  }
  if (type != 0x86dd || length < IPV6_AT + IPV6_HEADER + 8 || frame[IPV6_AT + 6] != VRRP) return -1;
  return IDS + frame[IPV6_AT + IPV6_HEADER + 1];
}

static void note(struct known *known, int32_t form, double at_ms) {
  known->counts[form]++;
  known->last_ms[form] = at_ms;
  bool is_twin = known->single == 1 - form && at_ms - known->single_ms < known->twin_ms;
  known->single = is_twin ? -1 : form;
  known->single_ms = at_ms;
  if (is_twin) return;
  known->adverts++;
  known->heard_ms = fmax(known->heard_ms, at_ms);
}

bool koi_ear_knows(struct koi_ear *ear, const uint8_t *frame, size_t length, double at_ms) {
  int place = ear == NULL ? -1 : place_of(frame, length);
  if (place < 0) return false;
  struct known *known = &ear->places[place];
  const uint8_t *bytes = known->bytes;
  for (uint32_t form = 0; bytes != NULL && form < known->frames; bytes += known->lengths[form++]) {
    if (known->lengths[form] != length || memcmp(bytes, frame, length) != 0) continue;
    note(known, (int32_t)form, at_ms);
    return true;
  }
  return false;
}

static void forget(struct known *known) {
  free(known->bytes);
  *known = (struct known){0};
}

void koi_ear_end(struct koi_socket *sock) {
  if (sock->ear == NULL) return;
  for (int place = 0; place < PLACES; place++) forget(&sock->ear->places[place]);
  free(sock->ear);
  sock->ear = NULL;
}

static double due_ms(const struct known *known) {
  return fmax(known->heard_ms + known->silence_ms, known->not_before_ms);
}

/* ── what the event loop asks for ─────────────────────────────────────────────────────────────────────────────────── */

/*
 * earPut(socket, frames: Uint8Array, lengths: Uint32Array, timesMs: Float64Array): by what it is known from now on, or a
 * negative errno. One frame or two, of one family and id. The times are how long it may be silent, before when it is
 * not due whatever it hears, when it was heard last, within what time the other form is a twin, and when the last of the
 * frames was heard without a twin; NaN: it was not.
 */
napi_value koi_ear_put(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  uint8_t *bytes;
  size_t length, frames;
  napi_typedarray_type type;
  void *data = NULL;
  double *times;
  if (!koi_arguments(env, info, 4, arguments)) return NULL;
  struct koi_socket *sock = koi_socket_of(env, arguments[0]);
  if (sock == NULL || !koi_bytes_of(env, arguments[1], &bytes, &length) ||
      !koi_doubles_of(env, arguments[3], 5, &times))
    return NULL;
  if (napi_get_typedarray_info(env, arguments[2], &type, &frames, &data, NULL, NULL) != napi_ok ||
      type != napi_uint32_array)
    return koi_throw(env, "koi_kernel: expected a Uint32Array");
  if (sock->fd < 0) return koi_number(env, -EBADF);
  const uint32_t *lengths = data;
  if (frames == 0 || frames > FORMS || lengths[0] + (frames > 1 ? (size_t)lengths[1] : 0) != length)
    return koi_number(env, -EINVAL);
  int place = place_of(bytes, lengths[0]);
  if (place < 0 || (frames > 1 && place_of(bytes + lengths[0], lengths[1]) != place)) return koi_number(env, -EINVAL);
  if (sock->ear == NULL) sock->ear = calloc(1, sizeof *sock->ear);
  uint8_t *copy = sock->ear == NULL ? NULL : malloc(length);
  if (copy == NULL) return koi_number(env, -ENOMEM);
  memcpy(copy, bytes, length);
  struct known *known = &sock->ear->places[place];
  forget(known);
  *known = (struct known){
      .bytes = copy,
      .frames = (uint32_t)frames,
      .silence_ms = times[0],
      .not_before_ms = times[1],
      .heard_ms = times[2],
      .twin_ms = times[3],
      .single = isnan(times[4]) ? -1 : (int32_t)frames - 1,
      .single_ms = times[4],
  };
  for (size_t form = 0; form < frames; form++) known->lengths[form] = lengths[form];
  return koi_number(env, place);
}

/*
 * earRead(socket, place, ends, out: Float64Array): whether anything is known there. Out come the adverts since the last
 * call and when it was heard last; how often each of the two frames came, and when last; which of them has no twin yet,
 * or -1, and when that was heard. With `ends` it is known no more.
 */
napi_value koi_ear_read(napi_env env, napi_callback_info info) {
  napi_value arguments[4], result = NULL;
  uint32_t place;
  bool ends;
  double *out;
  if (!koi_arguments(env, info, 4, arguments)) return NULL;
  struct koi_socket *sock = koi_socket_of(env, arguments[0]);
  if (sock == NULL || !koi_uint_of(env, arguments[1], &place) || !koi_doubles_of(env, arguments[3], 8, &out))
    return NULL;
  if (napi_get_value_bool(env, arguments[2], &ends) != napi_ok) return koi_throw(env, "koi_kernel: expected a boolean");
  struct known *known = sock->ear == NULL || place >= PLACES ? NULL : &sock->ear->places[place];
  bool is_there = known != NULL && known->bytes != NULL;
  if (is_there) {
    const double read[] = {(double)known->adverts, known->heard_ms,        (double)known->counts[0], known->last_ms[0],
                           (double)known->counts[1], known->last_ms[1], known->single, known->single_ms};
    memcpy(out, read, sizeof read);
    known->adverts = known->counts[0] = known->counts[1] = 0;
    if (ends) forget(known);
  }
  napi_get_boolean(env, is_there, &result);
  return result;
}

/* earKnows(socket, buffer: Uint8Array, start, length, atMs): whether the frame is known; it is counted then. */
napi_value koi_ear_asked(napi_env env, napi_callback_info info) {
  napi_value arguments[5], result = NULL;
  uint8_t *bytes;
  size_t size;
  uint32_t start, length;
  double at_ms;
  if (!koi_arguments(env, info, 5, arguments)) return NULL;
  struct koi_socket *sock = koi_socket_of(env, arguments[0]);
  if (sock == NULL || !koi_bytes_of(env, arguments[1], &bytes, &size) || !koi_uint_of(env, arguments[2], &start) ||
      !koi_uint_of(env, arguments[3], &length))
    return NULL;
  if (napi_get_value_double(env, arguments[4], &at_ms) != napi_ok)
    return koi_throw(env, "koi_kernel: expected a number");
  bool is_inside = (uint64_t)start + length <= size;
  napi_get_boolean(env, is_inside && koi_ear_knows(sock->ear, bytes + start, length, at_ms), &result);
  return result;
}

/* earDue(socket): when the first of all has been silent for too long; Infinity: never. */
napi_value koi_ear_due(napi_env env, napi_callback_info info) {
  napi_value argument, result = NULL;
  double earliest_ms = INFINITY;
  if (!koi_arguments(env, info, 1, &argument)) return NULL;
  struct koi_socket *sock = koi_socket_of(env, argument);
  if (sock == NULL) return NULL;
  for (int place = 0; sock->ear != NULL && place < PLACES; place++) {
    const struct known *known = &sock->ear->places[place];
    if (known->bytes != NULL) earliest_ms = fmin(earliest_ms, due_ms(known));
  }
  napi_create_double(env, earliest_ms, &result);
  return result;
}

/* earSilent(socket, nowMs, out: Uint32Array): how many are due; as many as fit are named. */
napi_value koi_ear_silent(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  double now_ms;
  size_t room;
  napi_typedarray_type type;
  void *data = NULL;
  if (!koi_arguments(env, info, 3, arguments)) return NULL;
  struct koi_socket *sock = koi_socket_of(env, arguments[0]);
  if (sock == NULL) return NULL;
  if (napi_get_value_double(env, arguments[1], &now_ms) != napi_ok ||
      napi_get_typedarray_info(env, arguments[2], &type, &room, &data, NULL, NULL) != napi_ok ||
      type != napi_uint32_array)
    return koi_throw(env, "koi_kernel: expected a number and a Uint32Array");
  uint32_t count = 0;
  for (uint32_t place = 0; sock->ear != NULL && place < PLACES && count < room; place++) {
    const struct known *known = &sock->ear->places[place];
    if (known->bytes != NULL && due_ms(known) <= now_ms) ((uint32_t *)data)[count++] = place;
  }
  return koi_number(env, count);
}
