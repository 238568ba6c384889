#include "base/checksum.h"

#include <fmt/format.h>

#define XXH_STATIC_LINKING_ONLY  // a state on the stack
#if defined(__x86_64__)
#include <xxh_x86dispatch.h>
#define BITSNAP_XXH64 XXH3_64bits_dispatch
#define BITSNAP_XXH64_UPDATE XXH3_64bits_update_dispatch
#define BITSNAP_XXH128 XXH3_128bits_dispatch
#else
#include <xxhash.h>
#define BITSNAP_XXH64 XXH3_64bits
#define BITSNAP_XXH64_UPDATE XXH3_64bits_update
#define BITSNAP_XXH128 XXH3_128bits
#endif

namespace bitsnap {

uint64_t Checksum64(Bytes bytes) { return BITSNAP_XXH64(bytes.data(), bytes.size()); }

uint64_t ChecksumOfAll(std::span<const Bytes> pieces) {
  if (pieces.size() == 1) return Checksum64(pieces[0]);
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  for (const Bytes piece : pieces) BITSNAP_XXH64_UPDATE(&state, piece.data(), piece.size());
  return XXH3_64bits_digest(&state);
}

Hash128 Checksum128(Bytes bytes) {
  const XXH128_hash_t hash = BITSNAP_XXH128(bytes.data(), bytes.size());
  return {hash.low64, hash.high64};
}

std::string ToHex(const Hash128& hash) {
  return fmt::format("{:016x}{:016x}", hash.high, hash.low);
}

}  // namespace bitsnap
