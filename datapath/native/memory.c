// The arena (page-aligned memory inside one 4 GiB window, so that all its addresses share their high word) and checksums.
#include "pureflash.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

struct arena {
  uint8_t *base;
  size_t size;
};

static void unmap_arena(napi_env env, void *data, void *hint) {
  (void)env;
  (void)data;
  struct arena *arena = hint;
  munmap(arena->base, arena->size);
  free(arena);
}

// Maps twice the size when the first place crosses a 4 GiB boundary, and keeps the half that does not.
static uint8_t *map_in_window(size_t size) {
  const int protection = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  uint8_t *base = mmap(NULL, size, protection, flags, -1, 0);
  if (base == MAP_FAILED) return NULL;
  if ((uintptr_t)base >> 32 == ((uintptr_t)base + size - 1) >> 32) return base;
  munmap(base, size);
  base = mmap(NULL, 2 * size, protection, flags, -1, 0);
  if (base == MAP_FAILED) return NULL;
  bool is_first_half_whole = (uintptr_t)base >> 32 == ((uintptr_t)base + size - 1) >> 32;
  munmap(is_first_half_whole ? base + size : base, size);
  return is_first_half_whole ? base : base + size;
}

// crc32c(offset, length, seed) over the arena that the function was made for.
static napi_value arena_crc32c(napi_env env, napi_callback_info info) {
  size_t count = 3;
  napi_value arguments[3];
  struct arena *arena;
  int64_t offset, length;
  uint32_t seed;
  PF_CHECK(env, napi_get_cb_info(env, info, &count, arguments, NULL, (void **)&arena));
  PF_CHECK(env, napi_get_value_int64(env, arguments[0], &offset));
  PF_CHECK(env, napi_get_value_int64(env, arguments[1], &length));
  PF_CHECK(env, napi_get_value_uint32(env, arguments[2], &seed));
  if (offset < 0 || length < 0 || (uint64_t)offset + (uint64_t)length > arena->size) {
    napi_throw_range_error(env, NULL, "crc32c: the range leaves the arena");
    return NULL;
  }
  napi_value result;
  PF_CHECK(env, napi_create_uint32(env, pf_crc32c(seed, arena->base + offset, (size_t)length), &result));
  return result;
}

// mapArena(sizeBytes) -> { buffer, addressLow, addressHigh, crc32c? } or -errno.
static napi_value map_arena(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value size_value, result, buffer;
  int64_t size;
  PF_CHECK(env, napi_get_cb_info(env, info, &count, &size_value, NULL, NULL));
  PF_CHECK(env, napi_get_value_int64(env, size_value, &size));
  if (size <= 0 || size % 4096 != 0 || size > (int64_t)1 << 31) return pf_number(env, -EINVAL);
  struct arena *arena = malloc(sizeof *arena);
  if (arena == NULL) return pf_number(env, -ENOMEM);
  arena->size = (size_t)size;
  arena->base = map_in_window(arena->size);
  if (arena->base == NULL) {
    free(arena);
    return pf_number(env, -ENOMEM);
  }
  PF_CHECK(env, napi_create_object(env, &result));
  PF_CHECK(env, napi_create_external_arraybuffer(env, arena->base, arena->size, unmap_arena, arena, &buffer));
  pf_set(env, result, "buffer", buffer);
  pf_set(env, result, "addressLow", pf_number(env, (double)((uintptr_t)arena->base & 0xffffffffu)));
  pf_set(env, result, "addressHigh", pf_number(env, (double)((uintptr_t)arena->base >> 32)));
  if (pf_crc32c_init()) pf_define(env, result, "crc32c", arena_crc32c, arena);
  return result;
}

// crc32c(bytes: Uint8Array, offset, length, seed)
static napi_value bytes_crc32c(napi_env env, napi_callback_info info) {
  size_t count = 4, size;
  napi_value arguments[4], result;
  napi_typedarray_type type;
  void *data;
  int64_t offset, length;
  uint32_t seed;
  PF_CHECK(env, napi_get_cb_info(env, info, &count, arguments, NULL, NULL));
  PF_CHECK(env, napi_get_typedarray_info(env, arguments[0], &type, &size, &data, NULL, NULL));
  PF_CHECK(env, napi_get_value_int64(env, arguments[1], &offset));
  PF_CHECK(env, napi_get_value_int64(env, arguments[2], &length));
  PF_CHECK(env, napi_get_value_uint32(env, arguments[3], &seed));
  if (type != napi_uint8_array || offset < 0 || length < 0 || (uint64_t)offset + (uint64_t)length > size) {
    napi_throw_range_error(env, NULL, "crc32c: a range of a Uint8Array is wanted");
    return NULL;
  }
  PF_CHECK(env, napi_create_uint32(env, pf_crc32c(seed, (const uint8_t *)data + offset, (size_t)length), &result));
  return result;
}

bool pf_register_memory(napi_env env, napi_value exports) {
  if (pf_crc32c_init() && !pf_define(env, exports, "crc32c", bytes_crc32c, NULL)) return false;
  return pf_define(env, exports, "mapArena", map_arena, NULL);
}
