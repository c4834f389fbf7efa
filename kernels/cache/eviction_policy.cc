#include "kernels/cache/eviction_policy.h"

#include "kernels/cache/lfu.h"
#include "kernels/cache/light_lfu.h"
#include "kernels/cache/lru.h"

namespace het {

Result<std::unique_ptr<EvictionPolicy>> CreateEvictionPolicy(
    const std::string& name, std::int64_t capacity) {
  if (name == "lru") return std::unique_ptr<EvictionPolicy>(new Lru);
  if (name == "lfu") return std::unique_ptr<EvictionPolicy>(new Lfu(capacity));
  if (name == "light_lfu") {
    return std::unique_ptr<EvictionPolicy>(new LightLfu(capacity));
  }
  return InvalidArgument("unknown eviction policy '", name,
                         "'; known are: lru, lfu, light_lfu");
}

}  // namespace het
