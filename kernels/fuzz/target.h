// What the fuzz targets have in common. A target is a program: NAME_fuzz.cc with
// libFuzzer's main, or with replay_main.cc, which runs the inputs that are given,
// or those in corpus/NAME.
//
// A target believes nothing about its input. What it requires of the product it
// requires with Require, which ends the program: that is a finding.

#ifndef HET_TF_KERNELS_FUZZ_TARGET_H_
#define HET_TF_KERNELS_FUZZ_TARGET_H_

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "kernels/base/span.h"
#include "kernels/base/status.h"

extern "C" {
// Every target has it; returns 0.
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
// Some have it: changes an input in its place and returns its new size.
std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                    std::size_t max_size, unsigned int seed);
// libFuzzer's own way to change bytes.
std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size,
                             std::size_t max_size);
}

namespace het {

inline void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "not true: %s\n", what);
  std::abort();
}

inline void RequireOk(const Status& status, const char* what) {
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  Require(status.ok(), what);
}

// An input is refused with one of the codes that the reader promises.
inline void RequireRefusal(const Status& status,
                           std::initializer_list<StatusCode> promised) {
  for (const StatusCode code : promised) {
    if (status.code() == code) return;
  }
  RequireOk(status, "a refusal is of a kind that was promised");
}

// The bits of two arrays are the same.
template <typename T>
bool SameBits(Span<const T> a, Span<const T> b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// Reads all of an array, as its user would.
template <typename T>
void Touch(Span<const T> values) {
  std::uint8_t sum = 0;
  for (const T& value : values) {
    std::uint8_t bytes[sizeof(T)];
    std::memcpy(bytes, &value, sizeof(T));
    for (const std::uint8_t byte : bytes) sum = static_cast<std::uint8_t>(sum ^ byte);
  }
  volatile std::uint8_t used = sum;
  (void)used;
}

}  // namespace het

#endif  // HET_TF_KERNELS_FUZZ_TARGET_H_
