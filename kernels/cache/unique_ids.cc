#include "kernels/cache/unique_ids.h"

#include <algorithm>
#include <cstring>

#include "kernels/base/hash.h"
#include "kernels/base/prefetch.h"

namespace het {
namespace {

// Fewer are not worth another thread.
constexpr std::size_t kIdsPerThread = 8192;
// Every share reads all ids and has room for all, so that more of them bring less.
constexpr std::size_t kMostThreads = 4;
// Behind every position.
constexpr std::uint32_t kEmpty = 0xffffffff;

std::size_t Threads(const Executor& executor, std::size_t size) {
  return std::clamp<std::size_t>(size / kIdsPerThread, 1,
                                 std::min(executor.threads, kMostThreads));
}

}  // namespace

void UniqueIds::Begin(std::size_t size) {
  given_.clear();
  given_.reserve(size);
}

void UniqueIds::Number(const Executor& executor) {
  const std::size_t size = given_.size();
  const std::size_t shares = Threads(executor, size);
  std::size_t buckets = 16;  // of a share, to which all ids may fall
  while (buckets < size || buckets * shares < 2 * size) buckets *= 2;
  buckets_.resize(buckets * shares);
  inverse_.resize(size);
  ParallelFor(executor, shares, 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t share = begin; share < end; ++share) {
      FindFirst(share, shares);
    }
  });
  // Without a branch on what nobody can foresee: every id is written where the
  // next distinct one belongs.
  constexpr std::size_t kBlock = 512;
  RowId found[kBlock];
  ids_.clear();
  for (std::size_t block = 0; block < size; block += kBlock) {
    std::size_t count = 0;
    for (std::size_t i = block; i < std::min(size, block + kBlock); ++i) {
      const std::uint32_t first = inverse_[i];
      const std::uint32_t is_first = first == i ? 1 : 0;
      const auto next = static_cast<std::uint32_t>(ids_.size() + count);
      const std::uint32_t known = inverse_[first];
      found[count] = given_[i];
      inverse_[i] = known + (next - known) * is_first;
      count += is_first;
    }
    ids_.insert(ids_.end(), found, found + count);
  }
}

void UniqueIds::FindFirst(std::size_t share, std::size_t shares) {
  const std::size_t count = buckets_.size() / shares;
  std::uint32_t* buckets = buckets_.data() + share * count;
  std::fill(buckets, buckets + count, kEmpty);
  const std::size_t mask = count - 1;
  constexpr std::size_t kBlock = 512, kAhead = 16;
  // Of this share, from a block of the batch: their positions and buckets.
  std::uint32_t own[kBlock], homes[kBlock];
  for (std::size_t block = 0; block < given_.size(); block += kBlock) {
    const std::size_t end = std::min(given_.size(), block + kBlock);
    std::size_t owned = 0;
    for (std::size_t i = block; i < end; ++i) {
      const std::uint64_t hash =
          FoldedProduct(static_cast<std::uint64_t>(given_[i]));
      own[owned] = static_cast<std::uint32_t>(i);
      homes[owned] = static_cast<std::uint32_t>(hash & mask);
      // No branch: it would be foreseen half of the time.
      owned += ((hash >> 32) * shares) >> 32 == share ? 1 : 0;
    }
    for (std::size_t k = 0; k < owned; ++k) {
      if (k + kAhead < owned) PrefetchLine(&buckets[homes[k + kAhead]]);
      const std::uint32_t i = own[k];
      const RowId id = given_[i];
      std::size_t b = homes[k];
      // All that is there comes before i; whether this one is the first nobody can
      // foresee, so that it makes no branch either.
      std::uint32_t first;
      while (given_[first = std::min(buckets[b], i)] != id) b = (b + 1) & mask;
      buckets[b] = first;
      inverse_[i] = first;
    }
  }
}

bool UniqueIds::Has(Span<const RowId> ids, std::size_t position) const {
  return ids.size() == 0 || std::memcmp(given_.data() + position, ids.data(),
                                        ids.size() * sizeof(RowId)) == 0;
}

void UniqueIds::Invert(const Executor& executor) {
  // A counting sort. Every range counts its own, then knows where they begin.
  const std::size_t size = inverse_.size();
  const std::size_t ranges = Threads(executor, size);
  const std::size_t distinct = ids_.size();
  const auto in_ranges = [&](auto work) {
    ParallelFor(executor, ranges, 1, [&](std::size_t begin, std::size_t end) {
      for (std::size_t range = begin; range < end; ++range) {
        std::uint32_t* next = next_.data() + range * distinct;
        for (std::size_t i = size * range / ranges;
             i < size * (range + 1) / ranges; ++i) {
          work(static_cast<std::uint32_t>(i), &next[inverse_[i]]);
        }
      }
    });
  };
  next_.assign(ranges * distinct, 0);
  in_ranges([](std::uint32_t, std::uint32_t* count) { ++*count; });
  begins_.resize(distinct + 1);
  std::uint32_t sum = 0;
  for (std::size_t u = 0; u < distinct; ++u) {
    begins_[u] = sum;
    for (std::size_t range = 0; range < ranges; ++range) {
      std::uint32_t& next = next_[range * distinct + u];
      const std::uint32_t count = next;
      next = sum;
      sum += count;
    }
  }
  begins_[distinct] = sum;
  positions_.resize(size);
  in_ranges([this](std::uint32_t i, std::uint32_t* next) {
    positions_[(*next)++] = i;
  });
}

}  // namespace het
