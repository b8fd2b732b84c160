#include "binding.h"

#include <stdlib.h>

/* Marks our handles, so that another addon's object passed in by mistake is refused instead of dereferenced. */
static const napi_type_tag socket_tag = {0x6b6f695f736f636bULL, 0x9d3c1f0a5be24e77ULL};

struct koi_env *koi_env_of(napi_env env) {
  void *data = NULL;
  napi_get_instance_data(env, &data);
  return data;
}

napi_value koi_number(napi_env env, int64_t value) {
  napi_value result = NULL;
  napi_create_int64(env, value, &result);
  return result;
}

napi_value koi_throw(napi_env env, const char *message) {
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
  return NULL;
}

bool koi_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *arguments) {
  size_t given = count;
  if (napi_get_cb_info(env, info, &given, arguments, NULL, NULL) != napi_ok || given < count) {
    koi_throw(env, "koi_kernel: too few arguments");
    return false;
  }
  return true;
}

bool koi_netns_of(napi_env env, napi_callback_info info, size_t position, int32_t *out) {
  napi_value arguments[8];
  size_t given = sizeof arguments / sizeof *arguments;
  *out = -1;
  if (napi_get_cb_info(env, info, &given, arguments, NULL, NULL) != napi_ok || given <= position) return true;
  napi_valuetype type;
  napi_typeof(env, arguments[position], &type);
  return type == napi_undefined || koi_int_of(env, arguments[position], out);
}

bool koi_int_of(napi_env env, napi_value value, int32_t *out) {
  if (napi_get_value_int32(env, value, out) == napi_ok) return true;
  koi_throw(env, "koi_kernel: expected a number");
  return false;
}

bool koi_uint_of(napi_env env, napi_value value, uint32_t *out) {
  if (napi_get_value_uint32(env, value, out) == napi_ok) return true;
  koi_throw(env, "koi_kernel: expected a number");
  return false;
}

bool koi_bytes_of(napi_env env, napi_value value, uint8_t **data, size_t *length) {
  napi_typedarray_type type;
  void *bytes = NULL;
  if (napi_get_typedarray_info(env, value, &type, length, &bytes, NULL, NULL) != napi_ok || type != napi_uint8_array) {
    koi_throw(env, "koi_kernel: expected a Uint8Array");
    return false;
  }
  *data = bytes;
  return true;
}

bool koi_doubles_of(napi_env env, napi_value value, size_t count, double **out) {
  napi_typedarray_type type;
  size_t length;
  void *data = NULL;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, NULL, NULL) != napi_ok ||
      type != napi_float64_array || length < count) {
    koi_throw(env, "koi_kernel: expected a Float64Array that is long enough");
    return false;
  }
  *out = data;
  return true;
}

struct koi_socket *koi_socket_of(napi_env env, napi_value value) {
  bool ours = false;
  void *sock = NULL;
  if (napi_check_object_type_tag(env, value, &socket_tag, &ours) != napi_ok || !ours ||
      napi_unwrap(env, value, &sock) != napi_ok) {
    koi_throw(env, "koi_kernel: expected a socket handle");
    return NULL;
  }
  return sock;
}

static void finalize_socket(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  struct koi_socket *sock = data;
  koi_socket_close(sock);
  free(sock);
}

/* open(family, type, protocol[, netns]): a handle, or a negative errno. */
static napi_value open_socket(napi_env env, napi_callback_info info) {
  napi_value opened = koi_open(env, info);
  void *sock = NULL;
  if (opened == NULL || napi_get_value_external(env, opened, &sock) != napi_ok) return opened;
  napi_value handle = NULL;
  napi_create_object(env, &handle);
  napi_type_tag_object(env, handle, &socket_tag);
  if (napi_wrap(env, handle, sock, finalize_socket, NULL, NULL) != napi_ok) {
    finalize_socket(env, sock, NULL);
    return koi_throw(env, "koi_kernel: cannot wrap the socket");
  }
  return handle;
}

void koi_cleanup_finished(struct koi_env *koi) {
  if (koi->cleanup == NULL || koi->closing > 0) return;
  napi_async_cleanup_hook_handle handle = koi->cleanup;
  koi->cleanup = NULL;
  napi_remove_async_cleanup_hook(handle);
}

/* A loop must not be torn down while something of ours is still closing on it: hence asynchronous. */
static void cleanup(napi_async_cleanup_hook_handle handle, void *data) {
  struct koi_env *koi = data;
  koi->cleanup = handle;
  koi_pump_end(koi);
  while (koi->sockets != NULL) koi_socket_close(koi->sockets);
  koi_cleanup_finished(koi);
}

static void finalize_env(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  free(data);
}

NAPI_MODULE_INIT() {
  struct koi_env *koi = calloc(1, sizeof *koi);
  if (koi == NULL) {
    napi_throw_error(env, NULL, "koi_kernel: out of memory");
    return NULL;
  }
  koi->env = env;
  napi_get_uv_event_loop(env, &koi->loop);
  napi_set_instance_data(env, koi, finalize_env, NULL);
  napi_add_async_cleanup_hook(env, cleanup, koi, NULL);

#define METHOD(name, function) {name, NULL, function, NULL, NULL, NULL, napi_enumerable, NULL}
  const napi_property_descriptor methods[] = {
      METHOD("open", open_socket),
      METHOD("bindPacket", koi_bind_packet),
      METHOD("bindNetlink", koi_bind_netlink),
      METHOD("setOption", koi_set_option),
      METHOD("getOption", koi_get_option),
      METHOD("attachFilter", koi_attach_filter),
      METHOD("prepareReceive", koi_prepare_receive),
      METHOD("receiveMany", koi_receive_many),
      METHOD("sendMany", koi_send_many),
      METHOD("pollStart", koi_poll_start),
      METHOD("pollStop", koi_poll_stop),
      METHOD("pumpStart", koi_pump_start),
      METHOD("pumpPut", koi_pump_put),
      METHOD("pumpRead", koi_pump_read),
      METHOD("pumpAlive", koi_pump_alive),
      METHOD("pumpLateness", koi_pump_lateness),
      METHOD("pumpPrioritize", koi_pump_prioritize),
      METHOD("prioritize", koi_prioritize),
      METHOD("lockMemory", koi_lock_memory),
      METHOD("earPut", koi_ear_put),
      METHOD("earRead", koi_ear_read),
      METHOD("earKnows", koi_ear_asked),
      METHOD("earDue", koi_ear_due),
      METHOD("earSilent", koi_ear_silent),
      METHOD("close", koi_close),
      METHOD("requestAsync", koi_request_async),
      METHOD("bindAbstract", koi_bind_abstract),
      METHOD("connectAbstract", koi_connect_abstract),
      METHOD("lockFile", koi_lock_file),
      METHOD("fileLockHolder", koi_file_lock_holder),
      METHOD("openFileIn", koi_open_file_in),
      METHOD("sealDescriptors", koi_seal_descriptors),
      METHOD("execWithCapabilities", koi_exec_with_capabilities),
      METHOD("sendDatagram", koi_send_datagram),
  };
  napi_define_properties(env, exports, sizeof methods / sizeof *methods, methods);
  return exports;
}
