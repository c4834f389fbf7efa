// What the CUDA kernels compute: rows gathered, gradients merged, clocks checked.
//
// A struct per kernel: its arrays, how many elements it writes, and Write(i) for
// the element i. Every element is written by itself, so that threads may take
// them in any order; a CPU loops over them (RunOnHost), which is how they are
// tested. Sums are taken in the order of the occurrences and without contraction:
// the bits are those of the cache.
//
// Ownership: views of the caller's memory, all of it where Write runs.

#ifndef HET_TF_KERNELS_GPU_ROW_KERNELS_H_
#define HET_TF_KERNELS_GPU_ROW_KERNELS_H_

#include <cstddef>
#include <cstdint>

#include "kernels/base/host_device.h"
#include "kernels/base/types.h"
#include "kernels/consistency/staleness.h"

namespace het {

// output[i] = rows[inverse[i]]: the rows of distinct ids spread over the places
// of a batch.
struct GatherRows {
  const float* rows = nullptr;             // [distinct, dimension]
  const std::uint32_t* inverse = nullptr;  // [count]
  std::size_t dimension = 0;
  std::size_t count = 0;
  float* output = nullptr;  // [count, dimension]

  HET_HOST_DEVICE std::size_t size() const { return count * dimension; }
  HET_HOST_DEVICE void Write(std::size_t i) const {
    const std::size_t place = i / dimension;
    output[i] = rows[inverse[place] * dimension + (i - place * dimension)];
  }
};

// output[u] = the gradients of the occurrences positions[begins[u]..begins[u +
// 1]) of the distinct id u, added in this order: merged, and scattered to one
// row for each id.
struct MergeGradients {
  const float* gradients = nullptr;          // [occurrences, dimension]
  const std::uint32_t* positions = nullptr;  // [occurrences]
  const std::uint32_t* begins = nullptr;     // [count + 1]
  std::size_t dimension = 0;
  std::size_t count = 0;    // distinct ids
  float* output = nullptr;  // [count, dimension]

  HET_HOST_DEVICE std::size_t size() const { return count * dimension; }
  HET_HOST_DEVICE void Write(std::size_t i) const {
    const std::size_t u = i / dimension;
    const std::size_t d = i - u * dimension;
    float sum = 0;
    for (std::uint32_t k = begins[u]; k < begins[u + 1]; ++k) {
      sum += gradients[positions[k] * dimension + d];
    }
    output[i] = sum;
  }
};

// valid[i]: both conditions of HET hold for the copy i. kernels/consistency
// decides.
struct CheckClocks {
  const Clock* start = nullptr;    // [count] c_s
  const Clock* current = nullptr;  // [count] c_c
  const Clock* global = nullptr;   // [count] c_g
  Staleness staleness = 0;
  std::size_t count = 0;
  bool* valid = nullptr;  // [count]

  HET_HOST_DEVICE std::size_t size() const { return count; }
  HET_HOST_DEVICE void Write(std::size_t i) const {
    valid[i] = WithinWriteStaleness({start[i], current[i]}, staleness) &&
               WithinReadStaleness(global[i], current[i], staleness);
  }
};

// Runs a kernel here, on this thread.
template <typename Kernel>
void RunOnHost(const Kernel& kernel) {
  for (std::size_t i = 0; i < kernel.size(); ++i) kernel.Write(i);
}

}  // namespace het

#endif  // HET_TF_KERNELS_GPU_ROW_KERNELS_H_
