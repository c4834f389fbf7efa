// Encoder and Decoder: the fields of a block's payload, little-endian and without
// padding. docs/checkpoints.md has the format.
//
// Ownership: an Encoder owns its bytes, a Decoder views them. Thread-safety: none.

#ifndef HET_TF_KERNELS_STORAGE_RECORD_CODEC_H_
#define HET_TF_KERNELS_STORAGE_RECORD_CODEC_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/base/component_spec.h"
#include "kernels/base/span.h"
#include "kernels/base/status.h"

namespace het {

class Encoder {
 public:
  template <typename Number>
  void Put(Number number) {
    bytes_.append(reinterpret_cast<const char*>(&number), sizeof number);
  }
  void PutString(const std::string& text) {
    Put(static_cast<std::uint32_t>(text.size()));
    bytes_ += text;
  }
  void PutComponent(const ComponentSpec& component) {
    PutString(component.name);
    Put(static_cast<std::uint32_t>(component.parameters.size()));
    for (const auto& [name, value] : component.parameters) {
      PutString(name);
      Put(value);
    }
  }
  Span<const char> bytes() const { return {bytes_.data(), bytes_.size()}; }

 private:
  std::string bytes_;
};

// Gives nothing, and says so at the end, once the payload is too short.
class Decoder {
 public:
  explicit Decoder(Span<const char> payload) : left_(payload) {}

  template <typename Number>
  Number Take() {
    Number number{};
    TakeArray(&number, 1);
    return number;
  }
  template <typename Number>
  void TakeArray(Number* numbers, std::size_t count) {
    if (count > left_.size() / sizeof(Number)) return End();
    const std::size_t bytes = count * sizeof(Number);
    if (bytes > 0) std::memcpy(numbers, left_.data(), bytes);
    left_ = left_.subspan(bytes, left_.size() - bytes);
  }
  std::string TakeString() {
    const auto size = Take<std::uint32_t>();
    if (size > left_.size()) {
      End();
      return {};
    }
    std::string text(left_.data(), size);
    left_ = left_.subspan(size, left_.size() - size);
    return text;
  }
  ComponentSpec TakeComponent() {
    ComponentSpec component;
    component.name = TakeString();
    const auto count = Take<std::uint32_t>();
    for (std::uint32_t i = 0; i < count && !short_; ++i) {
      const std::string name = TakeString();
      component.parameters[name] = Take<double>();
    }
    return component;
  }

  std::size_t left() const { return left_.size(); }
  // All that has been taken was there.
  bool enough() const { return !short_; }
  // All of the payload has been taken, and it was enough.
  bool fits() const { return !short_ && left_.empty(); }

 private:
  // Nothing is left: whoever takes until then comes to an end, whatever number of
  // things the payload speaks of.
  void End() {
    short_ = true;
    left_ = {};
  }

  Span<const char> left_;
  bool short_ = false;
};

template <typename Numbers>
Span<const char> BytesOf(const Numbers& numbers) {
  return {reinterpret_cast<const char*>(numbers.data()),
          numbers.size() * sizeof(*numbers.data())};
}

struct TableRecord;
// A table's description; DATA_LOSS says what is wrong with it.
void EncodeTable(const TableRecord& table, Encoder* encoder);
Result<TableRecord> DecodeTable(Decoder* decoder);

}  // namespace het

#endif  // HET_TF_KERNELS_STORAGE_RECORD_CODEC_H_
