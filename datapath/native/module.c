// The addon's door: registers everything for one environment (the main thread, or a worker thread).
#include "pureflash.h"

bool pf_define(napi_env env, napi_value exports, const char *name, napi_callback callback, void *data) {
  napi_value function;
  return napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, data, &function) == napi_ok &&
         pf_set(env, exports, name, function);
}

napi_value pf_number(napi_env env, double value) {
  napi_value number = NULL;
  napi_create_double(env, value, &number);
  return number;
}

bool pf_set(napi_env env, napi_value object, const char *name, napi_value value) {
  return napi_set_named_property(env, object, name, value) == napi_ok;
}

NAPI_MODULE_INIT() {
  if (!pf_register_ring(env, exports) || !pf_register_memory(env, exports) || !pf_register_sockets(env, exports) ||
      !pf_register_errands(env, exports) || !pf_register_netlink_groups(env, exports) || !pf_register_fuse(env, exports) ||
      !pf_register_memory_guard(env, exports) || !pf_register_ublk(env, exports)) {
    napi_throw_error(env, NULL, "the native addon could not register its functions");
    return NULL;
  }
  return exports;
}
