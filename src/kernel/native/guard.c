/*
 * koi-guard: watches the dataplane through a pipe and a pidfd, and takes its virtual IPs off the host when it dies, hangs
 * or lets a lease run out. It allocates nothing after start, so that it works on a host that has run out of memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "guard-fence.h"
#include "guard-registry.h"

#define NS_PER_MS 1000000ull
#define NS_PER_US 1000ull

#define HELLO_TIMEOUT_NS (5000 * NS_PER_MS)
#define DEATH_TIMEOUT_MS 1000
#define READS_PER_TURN_MAX 256
#define OUTPUT_BYTES_MAX 131072

/*
 * Where the guard itself ran late, the whole machine stalled, and the dataplane may be just as innocent: it gets one short
 * grace. After a longer stall others have taken over, and it must not wake up as a second master.
 */
#define LATE_NS (20 * NS_PER_MS)
#define STALL_NS (1000 * NS_PER_MS)
#define GRACE_NS (50 * NS_PER_MS)

/* How often a VR whose lease has ended is looked at again. */
#define KEEP_OFF_NS (20 * NS_PER_MS)

enum outcome { GO_ON, BYE, CLOSED, BROKEN };

static pid_t parent_pid;
static int parent_fd = -1;
static bool greeted;
static bool memory_locked;
static bool oom_protected;
static bool realtime;
static uint32_t group;
static uint64_t timeout_ns;
static uint64_t heard_ns;
static uint64_t silence_deadline_ns;
static bool graced;
static uint8_t input[GUARD_FRAME_BYTES_MAX];
static size_t input_length;
static uint8_t output[OUTPUT_BYTES_MAX];
static size_t output_length;

static uint64_t monotonic_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static unsigned long long since_us(uint64_t start_ns) { return (monotonic_ns() - start_ns) / NS_PER_US; }

/* Milliseconds of wall time, as pino stamps its lines; nothing is decided by it. */
static unsigned long long wall_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (unsigned long long)now.tv_sec * 1000 + (unsigned long long)now.tv_nsec / NS_PER_MS;
}

/* The dataplane sends a thousand registrations before it reads the first answer: what the pipe cannot take yet waits here. */
static void flush_output(void) {
  ssize_t written = output_length > 0 ? write(GUARD_REPORT_FD, output, output_length) : 0;
  if (written < 0 && errno != EAGAIN && errno != EINTR) output_length = 0; /* nobody reads any more */
  if (written <= 0) return;
  output_length -= (size_t)written;
  memmove(output, output + written, output_length);
}

/* What does not fit is lost, never waited for: whoever needs the answer has a deadline. */
static void send_report(uint8_t type, uint32_t sequence, const void *payload, size_t length) {
  uint32_t total = (uint32_t)(GUARD_HEADER_BYTES + length);
  if (sizeof output - output_length < total) return;
  uint8_t header[GUARD_HEADER_BYTES] = {
      (uint8_t)total, (uint8_t)(total >> 8), (uint8_t)(total >> 16), (uint8_t)(total >> 24), type, 0, 0, 0,
      (uint8_t)sequence, (uint8_t)(sequence >> 8), (uint8_t)(sequence >> 16), (uint8_t)(sequence >> 24),
  };
  memcpy(output + output_length, header, sizeof header);
  memcpy(output + output_length + sizeof header, payload, length);
  output_length += total;
}

static void acknowledge(uint32_t sequence, uint8_t status) {
  uint8_t payload[4] = {status, 0, 0, 0};
  send_report(GUARD_ACK, sequence, payload, sizeof payload);
}

static void write_stderr(const char *line, size_t length) {
  struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
  if (poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT) != 0 && write(STDERR_FILENO, line, length) < 0) return;
}

/* One JSON object: to the dataplane, should it live, and where `to_stderr` as a line to whoever keeps its log. */
__attribute__((format(printf, 2, 3))) static void report(bool to_stderr, const char *format, ...) {
  static char line[GUARD_REPORT_BYTES_MAX];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(line, sizeof line - 1, format, arguments);
  va_end(arguments);
  if (length < 0 || (size_t)length >= sizeof line - 1) return;
  send_report(GUARD_REPORT, 0, line, (size_t)length);
  flush_output();
  if (!to_stderr) return;
  line[length] = '\n';
  write_stderr(line, (size_t)length + 1);
}

static _Noreturn void give_up(const char *what, int error) {
  report(true, "{\"level\":50,\"time\":%llu,\"name\":\"koi-guard\",\"pid\":%d,\"event\":\"unusable\",\"errno\":%d,\"msg\":\"guard: %s: %s\"}",
         wall_ms(), (int)getpid(), error, what, strerror(error));
  _exit(GUARD_EXIT_UNUSABLE);
}

static bool parent_is_dead(uint64_t wait_ms) {
  struct pollfd death = {.fd = parent_fd, .events = POLLIN};
  uint64_t end_ns = monotonic_ns() + wait_ms * NS_PER_MS;
  for (;;) {
    uint64_t now_ns = monotonic_ns();
    uint64_t left_ns = now_ns < end_ns ? end_ns - now_ns : 0;
    struct timespec left = {.tv_sec = (time_t)(left_ns / 1000000000ull), .tv_nsec = (long)(left_ns % 1000000000ull)};
    int ready = ppoll(&death, 1, &left, NULL);
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

/*
 * Killed first: after SIGKILL no thread of the dataplane runs another instruction of its own, so what follows cannot be
 * undone by it. Only a request that was inside the kernel already may still land, an RTM_NEWADDR for one: the addresses go
 * once more when the death is certain, which takes a while, since every packet socket it had costs an RCU wait to close.
 * The group is not deleted again: by then it may hold the links of the next dataplane.
 */
static _Noreturn void fence_all(const char *reason) {
  uint64_t start_ns = monotonic_ns();
  unsigned long long silent_us = (start_ns - heard_ns) / NS_PER_US;
  unsigned vrs = registry_count();
  bool was_dead = parent_is_dead(0);
  bool killed = !was_dead && syscall(SYS_pidfd_send_signal, parent_fd, SIGKILL, NULL, 0) == 0;
  unsigned long long kill_us = since_us(start_ns);

  uint64_t step_ns = monotonic_ns();
  struct fence_addresses off = fence_addresses_off(GUARD_ALL_VRS);
  unsigned long long addresses_us = since_us(step_ns);

  /* Priority 0 invites the others: not while an address is known to be still here. */
  struct fence_adverts adverts = {0};
  step_ns = monotonic_ns();
  bool withheld = off.failed > 0;
  if (!withheld) adverts = fence_send_adverts(GUARD_ALL_VRS);
  unsigned long long adverts_us = since_us(step_ns);

  step_ns = monotonic_ns();
  int links_error = fence_delete_group(group);
  unsigned long long links_us = since_us(step_ns);

  step_ns = monotonic_ns();
  bool dead = was_dead || parent_is_dead(DEATH_TIMEOUT_MS);
  unsigned long long death_us = since_us(step_ns);
  if (!was_dead || withheld) {
    struct fence_addresses again = fence_addresses_off(GUARD_ALL_VRS);
    off.failed = again.failed;
    off.error = again.error;
  }
  if (withheld && off.failed == 0) adverts = fence_send_adverts(GUARD_ALL_VRS);

  report(true,
         "{\"level\":50,\"time\":%llu,\"name\":\"koi-guard\",\"pid\":%d,\"event\":\"fenced\",\"reason\":\"%s\",\"dataplane\":%d,"
         "\"silentUs\":%llu,\"killed\":%s,\"dead\":%s,\"vrs\":%u,"
         "\"addresses\":{\"registered\":%u,\"absent\":%u,\"failed\":%u,\"errno\":%d},"
         "\"adverts\":{\"sent\":%u,\"failed\":%u,\"errno\":%d},\"links\":{\"group\":%u,\"errno\":%d},"
         "\"us\":{\"kill\":%llu,\"addresses\":%llu,\"adverts\":%llu,\"links\":%llu,\"death\":%llu,\"total\":%llu},"
         "\"msg\":\"guard: fenced the dataplane: %s\"}",
         wall_ms(), (int)getpid(), reason, (int)parent_pid, silent_us, killed ? "true" : "false", dead ? "true" : "false", vrs,
         off.sent, off.absent, off.failed, off.error, adverts.sent, adverts.failed, adverts.error, group, links_error, kill_us,
         addresses_us, adverts_us, links_us, death_us, since_us(start_ns), reason);
  _exit(GUARD_EXIT_FENCED);
}

static void report_lease_ended(uint16_t slot, uint64_t start_ns, unsigned vrs, const struct fence_addresses *off,
                               const struct fence_adverts *adverts, unsigned long long addresses_us, unsigned long long adverts_us) {
  const struct guard_vr *vr = &guard_vrs[slot];
  report(true,
         "{\"level\":50,\"time\":%llu,\"name\":\"koi-guard\",\"pid\":%d,\"event\":\"lease_ended\",\"slot\":%u,\"vr\":\"%s\",\"lateUs\":%llu,"
         "\"vrs\":%u,\"addresses\":{\"registered\":%u,\"absent\":%u,\"failed\":%u,\"errno\":%d},"
         "\"adverts\":{\"sent\":%u,\"failed\":%u,\"errno\":%d},\"us\":{\"addresses\":%llu,\"adverts\":%llu,\"total\":%llu},"
         "\"msg\":\"guard: fenced %s: its lease ended\"}",
         wall_ms(), (int)getpid(), slot, vr->name, (unsigned long long)(start_ns - vr->deadline_ns) / NS_PER_US, vrs, off->sent,
         off->absent, off->failed, off->error, adverts->sent, adverts->failed, adverts->error, addresses_us, adverts_us,
         since_us(start_ns), vr->name);
}

/*
 * All whose lease has ended, which is one lease for all: first every address, then every advert, then the telling. Where an
 * address cannot be removed the links must go, and with them everything.
 */
static void fence_ended(void) {
  uint64_t start_ns = monotonic_ns();
  unsigned vrs = registry_mark_due(start_ns, false);
  if (vrs == 0) return;
  struct fence_addresses off = fence_addresses_off(GUARD_DUE_VRS);
  unsigned long long addresses_us = since_us(start_ns);
  uint64_t step_ns = monotonic_ns();
  struct fence_adverts adverts = {0};
  if (off.failed == 0) adverts = fence_send_adverts(GUARD_DUE_VRS);
  unsigned long long adverts_us = since_us(step_ns);
  for (uint16_t slot = 0; slot < GUARD_VRS_MAX; slot++) {
    if (!guard_vrs[slot].due) continue;
    report_lease_ended(slot, start_ns, vrs, &off, &adverts, addresses_us, adverts_us);
    guard_vrs[slot].ended = true;
    guard_vrs[slot].deadline_ns = start_ns + KEEP_OFF_NS;
  }
  if (off.failed > 0) fence_all("lease_fence_failed");
}

/*
 * A dataplane that was frozen, or had only just looked at the clock, may add an address after it was taken off: until it
 * drops or registers the VR anew, none of it stays.
 */
static void keep_ended_off(void) {
  uint64_t start_ns = monotonic_ns();
  unsigned vrs = registry_mark_due(start_ns, true);
  if (vrs == 0) return;
  struct fence_addresses off = fence_addresses_off(GUARD_DUE_VRS);
  for (uint16_t slot = 0; slot < GUARD_VRS_MAX; slot++) {
    if (guard_vrs[slot].due) guard_vrs[slot].deadline_ns = start_ns + KEEP_OFF_NS;
  }
  if (off.failed > 0) fence_all("lease_fence_failed");
  if (off.absent == off.sent) return;
  report(true,
         "{\"level\":50,\"time\":%llu,\"name\":\"koi-guard\",\"pid\":%d,\"event\":\"kept_off\",\"vrs\":%u,"
         "\"addresses\":{\"registered\":%u,\"absent\":%u,\"failed\":%u,\"errno\":%d},"
         "\"msg\":\"guard: took addresses off that came back after the end of their lease\"}",
         wall_ms(), (int)getpid(), vrs, off.sent, off.absent, off.failed, off.error);
}

static uint8_t greet(const uint8_t *payload, size_t length) {
  if (length < 4) return GUARD_MALFORMED;
  if (read_u32(payload) != GUARD_VERSION) return GUARD_WRONG_VERSION;
  if (length != 16 || greeted) return GUARD_MALFORMED;
  if (read_u32(payload + 4) != (uint32_t)parent_pid) return GUARD_WRONG_PARENT;
  if (read_u32(payload + 8) == 0) return GUARD_MALFORMED;
  timeout_ns = read_u32(payload + 8) * NS_PER_MS;
  group = read_u32(payload + 12);
  greeted = true;
  return GUARD_OK;
}

static enum outcome obey(uint8_t type, uint32_t sequence, const uint8_t *payload, size_t length) {
  uint8_t status = GUARD_NOT_GREETED;
  if (type == GUARD_HELLO) status = greet(payload, length);
  else if (!greeted) status = GUARD_NOT_GREETED;
  else if (type == GUARD_PUT) status = registry_put(payload, length);
  else if (type == GUARD_DROP) status = registry_drop(payload, length);
  else if (type == GUARD_DEADLINE) status = registry_deadline(payload, length);
  else if (type == GUARD_HEARTBEAT) status = length == 0 ? GUARD_OK : GUARD_MALFORMED;
  else if (type == GUARD_BYE) return BYE;
  else status = GUARD_UNKNOWN_COMMAND;

  acknowledge(sequence, status);
  if (!greeted) {
    flush_output();
    _exit(GUARD_EXIT_UNUSABLE);
  }
  if (type == GUARD_HELLO) {
    report(false, "{\"event\":\"ready\",\"pid\":%d,\"memoryLocked\":%s,\"oomProtected\":%s,\"realtime\":%s}", (int)getpid(),
           memory_locked ? "true" : "false", oom_protected ? "true" : "false", realtime ? "true" : "false");
  }
  heard_ns = monotonic_ns();
  silence_deadline_ns = heard_ns + timeout_ns;
  graced = false;
  return GO_ON;
}

/* Obeys all complete frames of the input. A length that cannot be is the end: the stream cannot be found again. */
static enum outcome obey_input(void) {
  size_t at = 0;
  while (input_length - at >= GUARD_HEADER_BYTES) {
    const uint8_t *frame = input + at;
    uint32_t length = read_u32(frame);
    if (length < GUARD_HEADER_BYTES || length > GUARD_FRAME_BYTES_MAX) return BROKEN;
    if (input_length - at < length) break;
    enum outcome outcome = obey(frame[4], read_u32(frame + 8), frame + GUARD_HEADER_BYTES, length - GUARD_HEADER_BYTES);
    if (outcome != GO_ON) return outcome;
    at += length;
  }
  input_length -= at;
  memmove(input, input + at, input_length);
  return GO_ON;
}

/* Reads until the pipe is empty: a heartbeat that waits there counts as heard, and a BYE before the end as said. */
static enum outcome drain(void) {
  for (int reads = 0; reads < READS_PER_TURN_MAX; reads++) {
    ssize_t length = read(GUARD_COMMAND_FD, input + input_length, sizeof input - input_length);
    if (length < 0 && errno == EINTR) continue;
    if (length < 0 && errno == EAGAIN) return GO_ON;
    if (length <= 0) return CLOSED;
    input_length += (size_t)length;
    enum outcome outcome = obey_input();
    if (outcome != GO_ON) return outcome;
  }
  return GO_ON;
}

/* Silence is judged only while something is registered: a dataplane that holds nothing has nothing to be fenced of. */
static bool is_silent(uint64_t now_ns) {
  if (registry_count() == 0 || now_ns < silence_deadline_ns) return false;
  uint64_t late_ns = now_ns - silence_deadline_ns;
  if (late_ns < LATE_NS || late_ns >= STALL_NS || graced) return true;
  graced = true;
  silence_deadline_ns = now_ns + GRACE_NS;
  return false;
}

/* When to wake without a message, or UINT64_MAX. */
static uint64_t next_wake_ns(void) {
  if (!greeted) return heard_ns + HELLO_TIMEOUT_NS;
  uint64_t wake_ns = registry_count() > 0 ? silence_deadline_ns : UINT64_MAX;
  uint16_t vr = registry_next_deadline();
  return vr != GUARD_ENTRY_FREE && guard_vrs[vr].deadline_ns < wake_ns ? guard_vrs[vr].deadline_ns : wake_ns;
}

static bool wait_for_something(void) {
  struct pollfd events[3] = {
      {.fd = GUARD_COMMAND_FD, .events = POLLIN},
      {.fd = parent_fd, .events = POLLIN},
      {.fd = output_length > 0 ? GUARD_REPORT_FD : -1, .events = POLLOUT},
  };
  uint64_t wake_ns = next_wake_ns();
  uint64_t now_ns = monotonic_ns();
  uint64_t left_ns = wake_ns > now_ns ? wake_ns - now_ns : 0;
  struct timespec left = {.tv_sec = (time_t)(left_ns / 1000000000ull), .tv_nsec = (long)(left_ns % 1000000000ull)};
  int ready = ppoll(events, 3, wake_ns == UINT64_MAX ? NULL : &left, NULL);
  return ready > 0 && (events[1].revents & POLLIN) != 0;
}

static _Noreturn void watch(void) {
  for (;;) {
    bool parent_died = wait_for_something();
    enum outcome outcome = drain();
    flush_output();
    if (outcome == BYE) _exit(GUARD_EXIT_BYE);
    if (!greeted && (outcome != GO_ON || parent_died)) _exit(GUARD_EXIT_UNUSABLE);
    if (outcome == BROKEN) fence_all("protocol_error");
    if (outcome == CLOSED) fence_all("pipe_closed");
    if (parent_died) fence_all("process_exited");

    uint64_t now_ns = monotonic_ns();
    if (!greeted && now_ns >= heard_ns + HELLO_TIMEOUT_NS) give_up("waiting for the dataplane's hello", ETIMEDOUT);
    uint16_t vr = registry_next_deadline();
    if (vr != GUARD_ENTRY_FREE && guard_vrs[vr].deadline_ns <= now_ns) {
      fence_ended();
      keep_ended_off();
      continue; /* Fencing took its time: hear what came meanwhile before judging the silence. */
    }
    if (is_silent(now_ns)) fence_all("heartbeat_lost");
  }
}

static bool protect_from_oom(void) {
  int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  bool written = write(fd, "-1000", 5) == 5;
  close(fd);
  return written;
}

/* All best effort: a host that refuses any of it is guarded a little less well, and is told so in the ready report. */
static void harden(void) {
  static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2};
  for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) signal(ignored[i], SIG_IGN);
  (void)setsid();
  (void)prctl(PR_SET_NAME, "koi-guard", 0, 0, 0);
  (void)prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
  oom_protected = protect_from_oom();
  /* Asleep nearly always, and punctual at the end of a lease however busy the machine is. */
  realtime = sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1}) == 0;
#ifndef __SANITIZE_ADDRESS__
  memory_locked = mlockall(MCL_CURRENT | MCL_FUTURE) == 0;
#endif
}

/* Non-blocking at both ends, and nothing else open: an inherited write end of a pipe would keep someone else's alive. */
static void take_descriptors(void) {
  for (int fd = GUARD_COMMAND_FD; fd <= GUARD_REPORT_FD; fd++) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
      static const char line[] = "koi-guard: is started by koi dataplane, with a command pipe at 3 and a report pipe at 4\n";
      write_stderr(line, sizeof line - 1);
      _exit(GUARD_EXIT_UNUSABLE);
    }
  }
#ifdef SYS_close_range
  (void)syscall(SYS_close_range, GUARD_REPORT_FD + 1, ~0u, 0);
#endif
  if (chdir("/") < 0) return;
}

int main(void) {
  take_descriptors();
  harden();
  registry_init();
  heard_ns = monotonic_ns();

  /* The parent's pid cannot have been reused where it is still our parent after its pidfd is open. */
  parent_pid = getppid();
  parent_fd = (int)syscall(SYS_pidfd_open, parent_pid, 0);
  if (parent_fd < 0) give_up("pidfd_open of the dataplane (needs Linux 5.3)", errno);
  if (getppid() != parent_pid) _exit(GUARD_EXIT_UNUSABLE);

  const char *what = "";
  int error = fence_open(&what);
  if (error != 0) give_up(what, error);
  watch();
}
