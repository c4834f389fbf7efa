// Simd: loops compiled several times, for AVX-512, for AVX2 and for any x86-64,
// of which the processor that runs them gets the best that it has: one wheel runs
// everywhere.
//
//   RunVectorized([&]() HET_LOOP {
//     for (std::size_t i = 0; i < size; ++i) row[i] -= step * gradient[i];
//   });
//
// Plain loops, of which the compiler makes vector code; nothing is contracted or
// reordered, so that all versions compute the same bits. On other processors
// there is the plain version alone.
//
// Pure functions. Thread-safe.

#ifndef HET_TF_KERNELS_BASE_SIMD_H_
#define HET_TF_KERNELS_BASE_SIMD_H_

namespace het {

enum class Simd { kPlain, kAvx2, kAvx512 };

inline Simd FindBestSimd() {
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    return Simd::kAvx512;
  }
  if (__builtin_cpu_supports("avx2")) return Simd::kAvx2;
#endif
  return Simd::kPlain;
}

// Of the processor that this runs on.
inline Simd BestSimd() {
  static const Simd best = FindBestSimd();
  return best;
}

// What is not inlined is not compiled for another processor.
#define HET_LOOP __attribute__((always_inline))

#ifdef __x86_64__
template <typename Loop>
__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))) void RunForAvx512(
    const Loop& loop) {
  loop();
}

template <typename Loop>
__attribute__((target("avx2"))) void RunForAvx2(const Loop& loop) {
  loop();
}
#endif

// REQUIRES: the processor has it.
template <typename Loop>
inline void RunFor(Simd simd, const Loop& loop) {
#ifdef __x86_64__
  if (simd == Simd::kAvx512) return RunForAvx512(loop);
  if (simd == Simd::kAvx2) return RunForAvx2(loop);
#endif
  (void)simd;
  loop();
}

template <typename Loop>
inline void RunVectorized(const Loop& loop) {
  RunFor(BestSimd(), loop);
}

}  // namespace het

#endif  // HET_TF_KERNELS_BASE_SIMD_H_
