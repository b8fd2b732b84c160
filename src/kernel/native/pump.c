/*
 * Adverts that stay the same, sent again and again by a thread of its own: a master's adverts wait neither for the garbage
 * collector nor for whatever else the event loop does at the moment.
 *
 * The thread decides nothing. It sends what it was given, at the interval it was given, and only while the event loop says
 * that it is alive. Silence that is longer than the peers bear, and a clock that was stopped, end it: an entry has lapsed
 * then, is sent no more, and the event loop decides.
 */
#include "binding.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ENTRIES_MAX 4096
#define FRAMES_MAX 64
#define BUCKETS_MAX 32
#define NS_PER_MS 1000000.0
/* So much of its interval an advert may go out early, to go with others: they stay together from then on. */
#define EARLY_PART 8

struct entry {
  struct koi_socket *sock; /* NULL once it is closed */
  uint8_t *bytes;          /* the frames, one after the other; NULL: nothing is here */
  uint32_t lengths[FRAMES_MAX];
  uint32_t frames;
  uint32_t families; /* so many adverts the frames of one round are */
  int64_t interval_ns, patience_ns, due_ns, sent_ns;
  uint64_t adverts; /* that the kernel took, since they were asked for last */
  enum lapse { GOES_ON, UNATTENDED, SILENT } lapsed;
};

struct koi_pump {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  pthread_t thread;
  bool ending;
  struct entry *entries;
  uint32_t capacity;
  uint32_t lapsed;
  int64_t alive_until_ns;
  int64_t wakes_at_ns;
  /* When it looked last, by both clocks: one that was stopped shows by the other. */
  int64_t looked_ns, looked_wall_ns;
  double bounds_ms[BUCKETS_MAX];
  uint32_t bounds;
  uint64_t counts[BUCKETS_MAX + 1];
  double late_ms;
  struct mmsghdr headers[KOI_BATCH_MAX];
  struct iovec vectors[KOI_BATCH_MAX];
  uint32_t owners[KOI_BATCH_MAX];
  uint32_t taken[ENTRIES_MAX]; /* of each entry, in the round that is being sent */
};

static int64_t clock_ns(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void lapse(struct koi_pump *pump, struct entry *entry, enum lapse how) {
  if (entry->bytes == NULL || entry->lapsed) return;
  entry->lapsed = how;
  pump->lapsed++;
}

static void clear(struct koi_pump *pump, struct entry *entry) {
  if (entry->lapsed) pump->lapsed--;
  free(entry->bytes);
  *entry = (struct entry){0};
}

/* ── the thread ───────────────────────────────────────────────────────────────────────────────────────────────────── */

static int64_t earliest_due(const struct koi_pump *pump) {
  int64_t earliest = INT64_MAX;
  for (uint32_t i = 0; i < pump->capacity; i++) {
    const struct entry *entry = &pump->entries[i];
    if (entry->bytes != NULL && !entry->lapsed && entry->due_ns < earliest) earliest = entry->due_ns;
  }
  return earliest;
}

/* A frame that is refused is passed over; of a queue that is full the rest is. */
static void send_batch(struct koi_pump *pump, int fd, uint32_t count) {
  uint32_t next = 0;
  while (next < count) {
    int sent = sendmmsg(fd, &pump->headers[next], count - next, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && (errno == EAGAIN || errno == ENOBUFS)) return;
    for (int i = 0; i < sent; i++) pump->taken[pump->owners[next + (uint32_t)i]]++;
    next += sent > 0 ? (uint32_t)sent : 1;
  }
}

static bool is_due(const struct entry *entry, int64_t now_ns) {
  return entry->bytes != NULL && !entry->lapsed && entry->due_ns - entry->interval_ns / EARLY_PART <= now_ns;
}

static void observe(struct koi_pump *pump, int64_t late_ns) {
  double late_ms = late_ns > 0 ? (double)late_ns / NS_PER_MS : 0;
  uint32_t bucket = 0;
  while (bucket < pump->bounds && late_ms > pump->bounds_ms[bucket]) bucket++;
  pump->counts[bucket]++;
  pump->late_ms += late_ms;
}

static void sent(struct koi_pump *pump, uint32_t index, int64_t together_ns, int64_t now_ns) {
  struct entry *entry = &pump->entries[index];
  uint32_t taken = pump->taken[index];
  entry->adverts += taken < entry->families ? taken : entry->families;
  observe(pump, now_ns - entry->due_ns);
  entry->sent_ns = now_ns;
  entry->due_ns = together_ns + entry->interval_ns > now_ns ? together_ns + entry->interval_ns : now_ns + entry->interval_ns;
}

/* `together_ns` is when the thread was to wake: whoever goes out now is due one interval after that. */
static void send_due(struct koi_pump *pump, int64_t together_ns, int64_t now_ns) {
  uint32_t first = 0;
  while (first < pump->capacity) {
    uint32_t count = 0, i = first;
    struct koi_socket *sock = NULL;
    for (; i < pump->capacity; i++) {
      struct entry *entry = &pump->entries[i];
      if (!is_due(entry, now_ns)) continue;
      if (sock == NULL) sock = entry->sock;
      if (entry->sock != sock || count + entry->frames > KOI_BATCH_MAX) break;
      pump->taken[i] = 0;
      uint8_t *at = entry->bytes;
      for (uint32_t frame = 0; frame < entry->frames; at += entry->lengths[frame++], count++) {
        pump->vectors[count] = (struct iovec){.iov_base = at, .iov_len = entry->lengths[frame]};
        pump->headers[count] = (struct mmsghdr){.msg_hdr = {.msg_iov = &pump->vectors[count], .msg_iovlen = 1}};
        pump->owners[count] = i;
      }
    }
    if (sock != NULL) send_batch(pump, sock->fd, count);
    for (uint32_t each = first; each < i; each++) {
      if (is_due(&pump->entries[each], now_ns)) sent(pump, each, together_ns, now_ns);
    }
    first = i;
  }
}

/* Whoever was silent for too long says nothing more of itself, and nobody does whose event loop is away. */
static void lapse_overdue(struct koi_pump *pump, int64_t now_ns) {
  int64_t wall_ns = clock_ns(CLOCK_REALTIME);
  int64_t jumped_ns = wall_ns - pump->looked_wall_ns - (now_ns - pump->looked_ns);
  pump->looked_ns = now_ns;
  pump->looked_wall_ns = wall_ns;
  for (uint32_t i = 0; i < pump->capacity; i++) {
    struct entry *entry = &pump->entries[i];
    if (entry->bytes == NULL) continue;
    int64_t silent_ns = now_ns - entry->sent_ns + (jumped_ns > 0 ? jumped_ns : 0);
    if (silent_ns > entry->patience_ns) lapse(pump, entry, SILENT);
    else if (now_ns > pump->alive_until_ns) lapse(pump, entry, UNATTENDED);
  }
}

static void wait_until(struct koi_pump *pump, int64_t until_ns) {
  pump->wakes_at_ns = until_ns;
  if (until_ns == INT64_MAX) {
    pthread_cond_wait(&pump->changed, &pump->lock);
    return;
  }
  struct timespec until = {.tv_sec = until_ns / 1000000000, .tv_nsec = until_ns % 1000000000};
  pthread_cond_timedwait(&pump->changed, &pump->lock, &until);
}

static void *run(void *data) {
  struct koi_pump *pump = data;
  pthread_mutex_lock(&pump->lock);
  while (!pump->ending) {
    int64_t due_ns = earliest_due(pump);
    int64_t now_ns = clock_ns(CLOCK_MONOTONIC);
    if (due_ns > now_ns) {
      wait_until(pump, due_ns);
      continue;
    }
    lapse_overdue(pump, now_ns);
    send_due(pump, due_ns, now_ns);
  }
  pthread_mutex_unlock(&pump->lock);
  return NULL;
}

static void make_locks(struct koi_pump *pump) {
  pthread_mutexattr_t lock;
  pthread_mutexattr_init(&lock);
  pthread_mutexattr_setprotocol(&lock, PTHREAD_PRIO_INHERIT);
  pthread_mutex_init(&pump->lock, &lock);
  pthread_mutexattr_destroy(&lock);
  pthread_condattr_t changed;
  pthread_condattr_init(&changed);
  pthread_condattr_setclock(&changed, CLOCK_MONOTONIC);
  pthread_cond_init(&pump->changed, &changed);
  pthread_condattr_destroy(&changed);
}

/* Signals are the event loop's. @return 0 or a negative errno */
static int start_thread(struct koi_pump *pump) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int result = -pthread_create(&pump->thread, NULL, run, pump);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (result == 0) pthread_setname_np(pump->thread, "koi adverts");
  return result;
}

/* ── what the event loop asks for ─────────────────────────────────────────────────────────────────────────────────── */

/* pumpStart(boundsMs: Float64Array): 0 or a negative errno; lateness is counted between these bounds. */
napi_value koi_pump_start(napi_env env, napi_callback_info info) {
  napi_value argument;
  size_t bounds;
  double *data;
  struct koi_env *koi = koi_env_of(env);
  if (!koi_arguments(env, info, 1, &argument)) return NULL;
  if (napi_get_typedarray_info(env, argument, NULL, &bounds, NULL, NULL, NULL) != napi_ok || bounds > BUCKETS_MAX)
    return koi_throw(env, "koi_kernel: expected a Float64Array of at most 32 bounds");
  if (!koi_doubles_of(env, argument, bounds, &data)) return NULL;
  if (koi->pump != NULL) return koi_number(env, -EALREADY);
  struct koi_pump *pump = calloc(1, sizeof *pump);
  if (pump == NULL) return koi_number(env, -ENOMEM);
  memcpy(pump->bounds_ms, data, bounds * sizeof *data);
  pump->bounds = (uint32_t)bounds;
  pump->looked_ns = clock_ns(CLOCK_MONOTONIC);
  pump->looked_wall_ns = clock_ns(CLOCK_REALTIME);
  make_locks(pump);
  int result = start_thread(pump);
  if (result == 0) koi->pump = pump;
  else free(pump);
  return koi_number(env, result);
}

/* pumpPrioritize(priority): 0 or a negative errno. 0: as an ordinary thread. */
napi_value koi_pump_prioritize(napi_env env, napi_callback_info info) {
  napi_value argument;
  int32_t priority;
  struct koi_pump *pump = koi_env_of(env)->pump;
  if (!koi_arguments(env, info, 1, &argument) || !koi_int_of(env, argument, &priority)) return NULL;
  if (pump == NULL) return koi_number(env, -ESRCH);
  struct sched_param param = {.sched_priority = priority};
  return koi_number(env, -pthread_setschedparam(pump->thread, priority > 0 ? SCHED_FIFO : SCHED_OTHER, &param));
}

void koi_pump_end(struct koi_env *koi) {
  struct koi_pump *pump = koi->pump;
  if (pump == NULL) return;
  koi->pump = NULL;
  pthread_mutex_lock(&pump->lock);
  pump->ending = true;
  pthread_cond_signal(&pump->changed);
  pthread_mutex_unlock(&pump->lock);
  pthread_join(pump->thread, NULL);
  for (uint32_t i = 0; i < pump->capacity; i++) clear(pump, &pump->entries[i]);
  free(pump->entries);
  pthread_cond_destroy(&pump->changed);
  pthread_mutex_destroy(&pump->lock);
  free(pump);
}

/* A socket that is about to be closed: nothing is sent through it any more. */
void koi_pump_forget(struct koi_socket *sock) {
  struct koi_pump *pump = sock->owner->pump;
  if (pump == NULL) return;
  pthread_mutex_lock(&pump->lock);
  for (uint32_t i = 0; i < pump->capacity; i++) {
    struct entry *entry = &pump->entries[i];
    if (entry->sock != sock) continue;
    lapse(pump, entry, UNATTENDED);
    entry->sock = NULL;
  }
  pthread_mutex_unlock(&pump->lock);
}

static bool has_room(struct koi_pump *pump, uint32_t slot) {
  if (slot < pump->capacity) return true;
  if (slot >= ENTRIES_MAX) return false;
  uint32_t capacity = slot + 64 < ENTRIES_MAX ? slot + 64 : ENTRIES_MAX;
  struct entry *entries = realloc(pump->entries, capacity * sizeof *entries);
  if (entries == NULL) return false;
  memset(&entries[pump->capacity], 0, (capacity - pump->capacity) * sizeof *entries);
  pump->entries = entries;
  pump->capacity = capacity;
  return true;
}

/*
 * pumpPut(slot, socket, frames: Uint8Array, lengths: Uint32Array, timesMs: Float64Array, families): 0 or a negative errno.
 * The times are the interval, the longest silence that is borne, when it is due next, and when it was sent last.
 */
napi_value koi_pump_put(napi_env env, napi_callback_info info) {
  napi_value arguments[6];
  uint32_t slot, families;
  uint8_t *bytes;
  size_t length, frames, sum = 0;
  napi_typedarray_type type;
  void *lengths = NULL;
  double *times;
  struct koi_pump *pump = koi_env_of(env)->pump;
  if (!koi_arguments(env, info, 6, arguments)) return NULL;
  struct koi_socket *sock = koi_socket_of(env, arguments[1]);
  if (sock == NULL || !koi_uint_of(env, arguments[0], &slot) || !koi_bytes_of(env, arguments[2], &bytes, &length) ||
      !koi_doubles_of(env, arguments[4], 4, &times) || !koi_uint_of(env, arguments[5], &families))
    return NULL;
  if (napi_get_typedarray_info(env, arguments[3], &type, &frames, &lengths, NULL, NULL) != napi_ok ||
      type != napi_uint32_array)
    return koi_throw(env, "koi_kernel: expected a Uint32Array");
  if (pump == NULL || sock->fd < 0) return koi_number(env, -EBADF);
  if (frames == 0 || frames > FRAMES_MAX || !(times[0] > 0)) return koi_number(env, -EINVAL);
  for (size_t i = 0; i < frames; i++) sum += ((const uint32_t *)lengths)[i];
  uint8_t *copy = sum == length && length > 0 ? malloc(length) : NULL;
  if (copy == NULL) return koi_number(env, sum == length && length > 0 ? -ENOMEM : -EINVAL);
  memcpy(copy, bytes, length);

  pthread_mutex_lock(&pump->lock);
  bool fits = has_room(pump, slot);
  if (fits) {
    struct entry *entry = &pump->entries[slot];
    clear(pump, entry);
    *entry = (struct entry){
        .sock = sock,
        .bytes = copy,
        .frames = (uint32_t)frames,
        .families = families,
        .interval_ns = llround(times[0] * NS_PER_MS),
        .patience_ns = llround(times[1] * NS_PER_MS),
        .due_ns = llround(times[2] * NS_PER_MS),
        .sent_ns = llround(times[3] * NS_PER_MS),
    };
    memcpy(entry->lengths, lengths, frames * sizeof(uint32_t));
    if (entry->due_ns < pump->wakes_at_ns) pthread_cond_signal(&pump->changed);
  }
  pthread_mutex_unlock(&pump->lock);
  if (!fits) free(copy);
  return koi_number(env, fits ? 0 : -ENOSPC);
}

/* pumpRead(slot, ends, out: Float64Array): whether anything is there. Out come the adverts since the last call, when the
 * next is due and the last was sent, in ms, and where it has lapsed 1, or 2 where it was silent for too long. With `ends` it
 * is sent no more. */
napi_value koi_pump_read(napi_env env, napi_callback_info info) {
  napi_value arguments[3], result = NULL;
  uint32_t slot;
  bool ends, is_there = false;
  double *out;
  struct koi_pump *pump = koi_env_of(env)->pump;
  if (!koi_arguments(env, info, 3, arguments) || !koi_uint_of(env, arguments[0], &slot) ||
      !koi_doubles_of(env, arguments[2], 4, &out))
    return NULL;
  if (napi_get_value_bool(env, arguments[1], &ends) != napi_ok) return koi_throw(env, "koi_kernel: expected a boolean");
  if (pump != NULL) {
    pthread_mutex_lock(&pump->lock);
    struct entry *entry = slot < pump->capacity ? &pump->entries[slot] : NULL;
    is_there = entry != NULL && entry->bytes != NULL;
    if (is_there) {
      out[0] = (double)entry->adverts;
      out[1] = (double)entry->due_ns / NS_PER_MS;
      out[2] = (double)entry->sent_ns / NS_PER_MS;
      out[3] = entry->lapsed;
      entry->adverts = 0;
      if (ends) clear(pump, entry);
    }
    pthread_mutex_unlock(&pump->lock);
  }
  napi_get_boolean(env, is_there, &result);
  return result;
}

/* pumpAlive(untilMs): how many have lapsed; the others are sent until then. */
napi_value koi_pump_alive(napi_env env, napi_callback_info info) {
  napi_value argument;
  double until_ms;
  struct koi_pump *pump = koi_env_of(env)->pump;
  if (!koi_arguments(env, info, 1, &argument)) return NULL;
  if (napi_get_value_double(env, argument, &until_ms) != napi_ok) return koi_throw(env, "koi_kernel: expected a number");
  if (pump == NULL) return koi_number(env, 0);
  pthread_mutex_lock(&pump->lock);
  pump->alive_until_ns = llround(until_ms * NS_PER_MS);
  uint32_t lapsed = pump->lapsed;
  pthread_mutex_unlock(&pump->lock);
  return koi_number(env, lapsed);
}

/* pumpLateness(out: Float64Array): adds to each bucket how many adverts were so late since the last call, and to what
 * follows the last bucket the sum of their lateness in ms. */
napi_value koi_pump_lateness(napi_env env, napi_callback_info info) {
  napi_value argument;
  double *out;
  struct koi_pump *pump = koi_env_of(env)->pump;
  if (!koi_arguments(env, info, 1, &argument)) return NULL;
  if (pump == NULL) return NULL;
  if (!koi_doubles_of(env, argument, pump->bounds + 2, &out)) return NULL;
  pthread_mutex_lock(&pump->lock);
  for (uint32_t i = 0; i <= pump->bounds; i++) out[i] += (double)pump->counts[i];
  out[pump->bounds + 1] += pump->late_ms;
  memset(pump->counts, 0, sizeof pump->counts);
  pump->late_ms = 0;
  pthread_mutex_unlock(&pump->lock);
  return NULL;
}
