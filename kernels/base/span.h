// Span<T>: a view of a contiguous array (C++20's std::span, as far as needed).
//
// It owns nothing: whoever hands one out says how long the array lives.

#ifndef HET_TF_KERNELS_BASE_SPAN_H_
#define HET_TF_KERNELS_BASE_SPAN_H_

#include <cstddef>
#include <type_traits>
#include <vector>

namespace het {

template <typename T>
class Span {
 public:
  using Value = std::remove_const_t<T>;

  constexpr Span() = default;
  constexpr Span(T* data, std::size_t size) : data_(data), size_(size) {}
  Span(std::vector<Value>& values)  // NOLINT: implicit by design
      : data_(values.data()), size_(values.size()) {}
  template <typename U = T, typename = std::enable_if_t<std::is_const_v<U>>>
  Span(const std::vector<Value>& values)  // NOLINT: implicit by design
      : data_(values.data()), size_(values.size()) {}
  template <typename U = T, typename = std::enable_if_t<std::is_const_v<U>>>
  constexpr Span(Span<std::remove_const_t<U>> other)  // NOLINT: as above
      : data_(other.data()), size_(other.size()) {}

  constexpr T* data() const { return data_; }
  constexpr std::size_t size() const { return size_; }
  constexpr bool empty() const { return size_ == 0; }
  constexpr T& operator[](std::size_t i) const { return data_[i]; }
  constexpr T* begin() const { return data_; }
  constexpr T* end() const { return data_ + size_; }
  // REQUIRES: offset + count <= size().
  constexpr Span subspan(std::size_t offset, std::size_t count) const {
    return Span(data_ + offset, count);
  }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace het

#endif  // HET_TF_KERNELS_BASE_SPAN_H_
