// Mix64: the project's integer hash, fixed for ever because initial rows and the
// placement of rows on shards are computed from it; FoldedProduct, a cheaper one
// for tables that live no longer than a call.
//
// It is the finalizer known as "Mix13" (D. Stafford, 2011; also used by
// SplitMix64): a bijection of 64 bits in which every input bit flips every
// output bit with probability near one half.

#ifndef HET_TF_KERNELS_BASE_HASH_H_
#define HET_TF_KERNELS_BASE_HASH_H_

#include <cstdint>
#include <string_view>

namespace het {

inline constexpr std::uint64_t Mix64(std::uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9ULL;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebULL;
  x ^= x >> 31;
  return x;
}

// The halves of a product of 128 bits, one over the other: a multiplication where
// Mix64 has two. No bijection.
inline std::uint64_t FoldedProduct(std::uint64_t x) {
  __extension__ using Product = unsigned __int128;
  const Product product =
      Product{x ^ 0xbf58476d1ce4e5b9ULL} * 0x9e3779b97f4a7c15ULL;
  return static_cast<std::uint64_t>(product) ^
         static_cast<std::uint64_t>(product >> 64);
}

// FNV-1a over the bytes, mixed: for names, not for bulk data.
inline constexpr std::uint64_t HashName(std::string_view name) {
  std::uint64_t h = 0xcbf29ce484222325ULL;
  for (char c : name) {
    h ^= static_cast<unsigned char>(c);
    h *= 0x100000001b3ULL;
  }
  return Mix64(h);
}

}  // namespace het

#endif  // HET_TF_KERNELS_BASE_HASH_H_
