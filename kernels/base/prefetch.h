// PrefetchLine: brings a cache line near that will be read or written soon.
//
// A function that does nothing but call __builtin_prefetch is const to GCC (12
// at least), which then removes the calls of it as if they did nothing; what
// must stay is therefore written as an instruction. The address need not be
// valid.

#ifndef HET_TF_KERNELS_BASE_PREFETCH_H_
#define HET_TF_KERNELS_BASE_PREFETCH_H_

namespace het {

inline void PrefetchLine(const void* address) {
#ifdef __x86_64__
  asm volatile("prefetcht0 (%0)" : : "r"(address));
#elif defined(__aarch64__)
  asm volatile("prfm pldl1keep, [%0]" : : "r"(address));
#else
  __builtin_prefetch(address);
#endif
}

}  // namespace het

#endif  // HET_TF_KERNELS_BASE_PREFETCH_H_
