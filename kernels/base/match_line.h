// MatchLine: which of the sixteen numbers in a cache line of an index look like
// the one that is sought. Both indexes, the cache's and the shard's, are made of
// such lines: a look at one costs one access to memory and no loop.
//
// A pure function; on x86-64 with SSE2, which every such processor has.

#ifndef HET_TF_KERNELS_BASE_MATCH_LINE_H_
#define HET_TF_KERNELS_BASE_MATCH_LINE_H_

#include <cstddef>
#include <cstdint>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace het {

inline constexpr std::size_t kLineNumbers = 16;

// Bit i: line[i] is not 0 and equals `wanted` in the bits of `mask`.
// REQUIRES: the line starts at a multiple of 64 bytes.
inline std::uint32_t MatchLine(const std::uint32_t* line, std::uint32_t mask,
                               std::uint32_t wanted) {
#ifdef __SSE2__
  const __m128i masks = _mm_set1_epi32(static_cast<int>(mask));
  const __m128i wants = _mm_set1_epi32(static_cast<int>(wanted));
  const auto* four = reinterpret_cast<const __m128i*>(line);
  __m128i found[4];
  for (int i = 0; i < 4; ++i) {
    const __m128i numbers = _mm_load_si128(four + i);
    const __m128i empty = _mm_cmpeq_epi32(numbers, _mm_setzero_si128());
    found[i] = _mm_andnot_si128(
        empty, _mm_cmpeq_epi32(_mm_and_si128(numbers, masks), wants));
  }
  return static_cast<std::uint32_t>(_mm_movemask_epi8(
      _mm_packs_epi16(_mm_packs_epi32(found[0], found[1]),
                      _mm_packs_epi32(found[2], found[3]))));
#else
  std::uint32_t matches = 0;
  for (std::size_t i = 0; i < kLineNumbers; ++i) {
    const bool match = line[i] != 0 && (line[i] & mask) == wanted;
    matches |= std::uint32_t{match} << i;
  }
  return matches;
#endif
}

}  // namespace het

#endif  // HET_TF_KERNELS_BASE_MATCH_LINE_H_
