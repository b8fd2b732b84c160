/*
 * The kernel binding: AF_PACKET, AF_NETLINK and AF_UNIX sockets and record locks for Node, and nothing clever. Everything that has a meaning
 * (message formats, retries, policies) is TypeScript on top.
 *
 * Errors on hot paths are negative errno numbers, never exceptions; exceptions are for callers that pass nonsense.
 * There is no global state: what lives belongs to one napi_env, so workers may load the addon too.
 */
#ifndef KOI_BINDING_H
#define KOI_BINDING_H

#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <linux/if_packet.h>
#include <uv.h>

/* Frames in one sendmmsg or recvmmsg: the kernel's own limit is UIO_MAXIOV (1024). */
#define KOI_BATCH_MAX 512

struct koi_socket;
struct koi_pump;
struct koi_ear;

/* One per napi_env. */
struct koi_env {
  napi_env env;
  uv_loop_t *loop;
  struct koi_socket *sockets; /* every socket not yet closed, to be closed with the environment */
  struct koi_pump *pump;      /* NULL until it is started */
  unsigned closing;           /* polls and descriptors whose closing is under way */
  napi_async_cleanup_hook_handle cleanup; /* set once the environment is going away */
  /* Scratch for sendMany; the JavaScript thread is the only user. */
  struct mmsghdr send_headers[KOI_BATCH_MAX];
  struct iovec send_vectors[KOI_BATCH_MAX];
  struct sockaddr_ll send_addresses[KOI_BATCH_MAX];
};

/* Receive slots: one JavaScript buffer cut into `slots` pieces of `slot_size` bytes, and what recvmmsg needs for them. */
struct koi_receive {
  napi_ref buffer_ref; /* Uint8Array, slots * slot_size bytes */
  napi_ref meta_ref;   /* Int32Array, slots * KOI_META_FIELDS */
  uint8_t *data;
  uint32_t slots;
  uint32_t slot_size;
  struct mmsghdr *headers;
  struct iovec *vectors;
  struct sockaddr_ll *addresses;
  /* What was read while nobody called: so many slots, or an error, for the next call of receiveMany. 0: nothing. */
  int waiting;
  /* Frames that the ear knew, in batches of which nothing else was left, since receiveMany last told of them. */
  uint32_t known;
};

/*
 * Per received slot: bytes the message had (may exceed the slot), then packet type, protocol, ifindex for AF_PACKET, or
 * the sender's port id (0 is the kernel) for AF_NETLINK.
 */
#define KOI_META_FIELDS 4

/* Frames that the ear may take before others have their turn. */
#define KOI_KNOWN_TURN 256

struct koi_poll; /* outlives its socket until uv_close's callback has run */

struct koi_socket {
  struct koi_env *owner;
  struct koi_socket *next, **link;
  int fd;
  int family;
  napi_ref self; /* strong while polling, so that a socket that is only listened to is not collected */
  struct koi_receive receive;
  struct koi_poll *poll;
  struct koi_ear *ear; /* NULL until it is told what to know */
};

/* binding.c */
struct koi_env *koi_env_of(napi_env env);
napi_value koi_number(napi_env env, int64_t value);
napi_value koi_throw(napi_env env, const char *message);
struct koi_socket *koi_socket_of(napi_env env, napi_value value);
bool koi_bytes_of(napi_env env, napi_value value, uint8_t **data, size_t *length);
/* Reads exactly `count` arguments or throws and returns false. */
bool koi_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *arguments);
/* The descriptor of a namespace in an optional last argument; -1 where there is none: ours. */
bool koi_netns_of(napi_env env, napi_callback_info info, size_t position, int32_t *out);
bool koi_doubles_of(napi_env env, napi_value value, size_t count, double **out);
bool koi_int_of(napi_env env, napi_value value, int32_t *out);
bool koi_uint_of(napi_env env, napi_value value, uint32_t *out);
void koi_cleanup_finished(struct koi_env *koi);

/* socket.c */
napi_value koi_open(napi_env env, napi_callback_info info);
napi_value koi_bind_packet(napi_env env, napi_callback_info info);
napi_value koi_bind_netlink(napi_env env, napi_callback_info info);
napi_value koi_set_option(napi_env env, napi_callback_info info);
napi_value koi_get_option(napi_env env, napi_callback_info info);
napi_value koi_attach_filter(napi_env env, napi_callback_info info);
napi_value koi_close(napi_env env, napi_callback_info info);
void koi_socket_close(struct koi_socket *sock);

/* batch.c */
napi_value koi_prepare_receive(napi_env env, napi_callback_info info);
napi_value koi_receive_many(napi_env env, napi_callback_info info);
napi_value koi_send_many(napi_env env, napi_callback_info info);
void koi_receive_release(struct koi_socket *sock);
/* Reads what waits, as far as the ear knows it; left for the event loop are frames, or an error. */
enum koi_heard { NOTHING_HEARD, KNOWN_HEARD, OTHERS_HEARD };
enum koi_heard koi_receive_known(struct koi_socket *sock);

/* poll.c */
napi_value koi_poll_start(napi_env env, napi_callback_info info);
napi_value koi_poll_stop(napi_env env, napi_callback_info info);
void koi_poll_close(struct koi_socket *sock);

/* pump.c */
napi_value koi_pump_start(napi_env env, napi_callback_info info);
napi_value koi_pump_prioritize(napi_env env, napi_callback_info info);
napi_value koi_pump_put(napi_env env, napi_callback_info info);
napi_value koi_pump_read(napi_env env, napi_callback_info info);
napi_value koi_pump_alive(napi_env env, napi_callback_info info);
napi_value koi_pump_lateness(napi_env env, napi_callback_info info);
void koi_pump_forget(struct koi_socket *sock);
void koi_pump_end(struct koi_env *koi);

/* realtime.c */
napi_value koi_prioritize(napi_env env, napi_callback_info info);
napi_value koi_lock_memory(napi_env env, napi_callback_info info);

/* ear.c */
napi_value koi_ear_put(napi_env env, napi_callback_info info);
napi_value koi_ear_read(napi_env env, napi_callback_info info);
napi_value koi_ear_asked(napi_env env, napi_callback_info info);
napi_value koi_ear_due(napi_env env, napi_callback_info info);
napi_value koi_ear_silent(napi_env env, napi_callback_info info);
/* Whether the frame is known; it is counted then. `ear` may be NULL. */
bool koi_ear_knows(struct koi_ear *ear, const uint8_t *frame, size_t length, double at_ms);
void koi_ear_end(struct koi_socket *sock);

/* netns.c */
/* The calling thread's own namespace, to go back to, and the thread is in that of `netns`; or a negative errno. */
int koi_netns_enter(int netns);
/* Back, and closes `home`. A thread that cannot go back must not go on: the process ends. */
void koi_netns_leave(int home);
napi_value koi_open_file_in(napi_env env, napi_callback_info info);
napi_value koi_seal_descriptors(napi_env env, napi_callback_info info);

/* lock.c */
napi_value koi_bind_abstract(napi_env env, napi_callback_info info);
napi_value koi_connect_abstract(napi_env env, napi_callback_info info);
napi_value koi_lock_file(napi_env env, napi_callback_info info);
napi_value koi_file_lock_holder(napi_env env, napi_callback_info info);

/* request.c */
napi_value koi_request_async(napi_env env, napi_callback_info info);

/* exec.c */
napi_value koi_exec_with_capabilities(napi_env env, napi_callback_info info);
napi_value koi_send_datagram(napi_env env, napi_callback_info info);

#endif
