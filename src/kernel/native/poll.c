/* Readiness through the event loop: one uv_poll_t a socket, one JavaScript callback. */
#include "binding.h"

#include <errno.h>
#include <stdlib.h>

struct koi_poll {
  uv_poll_t handle;
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

static void on_ready(uv_poll_t *handle, int status, int events) {
  (void)events;
  struct koi_poll *poll = handle->data;
  if (poll->sock == NULL || !poll->started) return;
  napi_env env = poll->owner->env;
  napi_handle_scope scope;
  napi_value callback = NULL, receiver = NULL;
  napi_open_handle_scope(env, &scope);
  if (status == 0 && !koi_receive_known(poll->sock)) {
    napi_close_handle_scope(env, scope);
    return;
  }
  napi_get_reference_value(env, poll->callback, &callback);
  napi_get_global(env, &receiver);
  if (napi_make_callback(env, poll->context, receiver, callback, 0, NULL, NULL) == napi_pending_exception) {
    napi_value error = NULL;
    napi_get_and_clear_last_exception(env, &error);
    napi_fatal_exception(env, error); /* an exception in a listener is the process's uncaughtException, as elsewhere */
  }
  napi_close_handle_scope(env, scope);
  /*
   * On POLLERR (a netlink overflow, a packet socket whose link went down) libuv stops the handle. Reading has fetched
   * and cleared the error, so watch again. Level-triggered: an error nobody reads comes back.
   */
  if (status < 0 && poll->sock != NULL && poll->started) start(poll);
}

static void on_closed(uv_handle_t *handle) {
  struct koi_poll *poll = handle->data;
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
    poll->handle.data = poll;
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
  if (keep_alive) uv_ref((uv_handle_t *)&poll->handle);
  else uv_unref((uv_handle_t *)&poll->handle);
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
}
