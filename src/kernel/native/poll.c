/*
 * Readiness through the event loop: one uv_poll_t a socket, one JavaScript callback.
 *
 * Of adverts that the ear knows nobody has to be told, so where they come one close behind the other the socket is looked
 * at once a millisecond, not at each: to wake for a frame costs more than to read it. Whatever else comes in meanwhile
 * waits for as long.
 */
#include "binding.h"

#include <errno.h>
#include <stdlib.h>

#define REST_MS 1
#define REST_NS 1000000

struct koi_poll {
  uv_poll_t handle;
  uv_timer_t rest;
  unsigned open; /* of the two */
  uint64_t woken_ns;
  struct koi_env *owner;
  struct koi_socket *sock; /* NULL once the socket is closed */
  napi_ref callback;
  napi_async_context context;
  bool started;
};

static void on_ready(uv_poll_t *handle, int status, int events);

static int start(struct koi_poll *poll) {
  return uv_poll_start(&poll->handle, UV_READABLE, on_ready);
}

static void call(struct koi_poll *poll) {
  napi_env env = poll->owner->env;
  napi_value callback = NULL, receiver = NULL;
  napi_get_reference_value(env, poll->callback, &callback);
  napi_get_global(env, &receiver);
  if (napi_make_callback(env, poll->context, receiver, callback, 0, NULL, NULL) == napi_pending_exception) {
    napi_value error = NULL;
    napi_get_and_clear_last_exception(env, &error);
    napi_fatal_exception(env, error); /* an exception in a listener is the process's uncaughtException, as elsewhere */
  }
}

/* Reads what is known, and calls where anything else is there. @return what was there; the socket may be closed by now */
static enum koi_heard hear(struct koi_poll *poll) {
  napi_handle_scope scope;
  napi_open_handle_scope(poll->owner->env, &scope);
  enum koi_heard heard = koi_receive_known(poll->sock);
  if (heard == OTHERS_HEARD) call(poll);
  napi_close_handle_scope(poll->owner->env, scope);
  return heard;
}

static void on_rested(uv_timer_t *timer) {
  struct koi_poll *poll = timer->data;
  if (poll->sock == NULL || !poll->started) return;
  enum koi_heard heard = hear(poll);
  if (poll->sock == NULL || !poll->started || uv_is_active((uv_handle_t *)&poll->handle)) return;
  if (heard == KNOWN_HEARD) uv_timer_start(timer, on_rested, REST_MS, 0);
  else start(poll);
}

static void on_ready(uv_poll_t *handle, int status, int events) {
  (void)events;
  struct koi_poll *poll = handle->data;
  if (poll->sock == NULL || !poll->started) return;
  uint64_t now_ns = uv_hrtime();
  bool is_close = now_ns - poll->woken_ns < REST_NS;
  poll->woken_ns = now_ns;
  enum koi_heard heard = hear(poll);
  if (poll->sock == NULL || !poll->started) return;
  if (heard == KNOWN_HEARD && is_close && status == 0) {
    uv_poll_stop(&poll->handle);
    uv_timer_start(&poll->rest, on_rested, REST_MS, 0);
    return;
  }
  /*
   * On POLLERR (a netlink overflow, a packet socket whose link went down) libuv stops the handle. Reading has fetched
   * and cleared the error, so watch again. Level-triggered: an error nobody reads comes back.
   */
  if (status < 0) start(poll);
}

static void on_closed(uv_handle_t *handle) {
  struct koi_poll *poll = handle->data;
  if (--poll->open > 0) return;
  struct koi_env *koi = poll->owner;
  free(poll);
  koi->closing--;
  koi_cleanup_finished(koi);
}

/* pollStart(handle, callback, keepAlive): 0 or a negative errno. Starting twice replaces the callback. */
napi_value koi_poll_start(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  bool keep_alive;
  napi_valuetype type;
  if (!koi_arguments(env, info, 3, arguments)) return NULL;
  struct koi_socket *sock = koi_socket_of(env, arguments[0]);
  if (sock == NULL) return NULL;
  if (napi_typeof(env, arguments[1], &type) != napi_ok || type != napi_function ||
      napi_get_value_bool(env, arguments[2], &keep_alive) != napi_ok)
    return koi_throw(env, "koi_kernel: expected a callback and a boolean");
  if (sock->fd < 0) return koi_number(env, -EBADF);

  struct koi_poll *poll = sock->poll;
  if (poll == NULL) {
    poll = calloc(1, sizeof *poll);
    if (poll == NULL) return koi_number(env, -ENOMEM);
    int result = uv_poll_init(sock->owner->loop, &poll->handle, sock->fd);
    if (result < 0) {
      free(poll);
      return koi_number(env, result);
    }
    uv_timer_init(sock->owner->loop, &poll->rest);
    poll->open = 2;
    poll->handle.data = poll->rest.data = poll;
    poll->owner = sock->owner;
    poll->sock = sock;
    napi_value name = NULL;
    napi_create_string_utf8(env, "koi:socket", NAPI_AUTO_LENGTH, &name);
    napi_async_init(env, arguments[0], name, &poll->context);
    sock->poll = poll;
  } else if (poll->callback != NULL) {
    napi_delete_reference(env, poll->callback);
    poll->callback = NULL;
  }
  napi_create_reference(env, arguments[1], 1, &poll->callback);
  if (sock->self == NULL) napi_create_reference(env, arguments[0], 1, &sock->self);
  uv_handle_t *handles[] = {(uv_handle_t *)&poll->handle, (uv_handle_t *)&poll->rest};
  for (int i = 0; i < 2; i++) {
    if (keep_alive) uv_ref(handles[i]);
    else uv_unref(handles[i]);
  }
  uv_timer_stop(&poll->rest);
  poll->started = true;
  return koi_number(env, start(poll));
}

static void release_self(struct koi_socket *sock) {
  if (sock->self == NULL) return;
  napi_delete_reference(sock->owner->env, sock->self);
  sock->self = NULL;
}

/* pollStop(handle) */
napi_value koi_poll_stop(napi_env env, napi_callback_info info) {
  napi_value argument;
  if (!koi_arguments(env, info, 1, &argument)) return NULL;
  struct koi_socket *sock = koi_socket_of(env, argument);
  if (sock == NULL || sock->poll == NULL) return NULL;
  sock->poll->started = false;
  uv_poll_stop(&sock->poll->handle);
  uv_timer_stop(&sock->poll->rest);
  release_self(sock);
  return NULL;
}

void koi_poll_close(struct koi_socket *sock) {
  struct koi_poll *poll = sock->poll;
  if (poll == NULL) return;
  napi_env env = sock->owner->env;
  sock->poll = NULL;
  poll->sock = NULL;
  poll->started = false;
  if (poll->callback != NULL) napi_delete_reference(env, poll->callback);
  if (poll->context != NULL) napi_async_destroy(env, poll->context);
  release_self(sock);
  sock->owner->closing++;
  uv_close((uv_handle_t *)&poll->handle, on_closed);
  uv_close((uv_handle_t *)&poll->rest, on_closed);
}
