// Shared declarations of the native addon: what each file registers, and the few conventions between them.
// Errors are returned to TypeScript as negative errnos (numbers); only wrong argument types throw.
#ifndef PUREFLASH_H
#define PUREFLASH_H

#define NAPI_VERSION 8
#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PF_CHECK(env, call)                                             \
  do {                                                                  \
    if ((call) != napi_ok) {                                            \
      napi_throw_type_error((env), NULL, "wrong arguments: " #call);    \
      return NULL;                                                      \
    }                                                                   \
  } while (0)

bool pf_define(napi_env env, napi_value exports, const char *name, napi_callback callback, void *data);
napi_value pf_number(napi_env env, double value);
bool pf_set(napi_env env, napi_value object, const char *name, napi_value value);

bool pf_register_ring(napi_env env, napi_value exports);
bool pf_register_memory(napi_env env, napi_value exports);
bool pf_register_sockets(napi_env env, napi_value exports);
bool pf_register_errands(napi_env env, napi_value exports);
bool pf_register_netlink_groups(napi_env env, napi_value exports);
bool pf_register_fuse(napi_env env, napi_value exports);
bool pf_register_memory_guard(napi_env env, napi_value exports);
bool pf_register_ublk(napi_env env, napi_value exports);

// True where the processor has CRC32C instructions; pf_crc32c must not be called otherwise.
bool pf_crc32c_init(void);
uint32_t pf_crc32c(uint32_t seed, const uint8_t *bytes, size_t length);

#endif
